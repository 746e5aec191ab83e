/** What is answered when a container is not in the state that is asked for. */
import { AgentError, type AgentErrorCode } from '../errors.ts';
import type { ContainerId } from '../runtime/runtime.ts';

export type ContainerStatus = 'created' | 'running' | 'paused' | 'stopped';

export class ContainerRefusals {
  readonly #id: ContainerId;

  constructor(id: ContainerId) {
    this.#id = id;
  }

  deleted(): AgentError {
    return new AgentError('container-not-found', `container ${this.#id} not found`, {
      containerId: this.#id,
    });
  }

  noProcess(pid: number): AgentError {
    return new AgentError('process-not-found', `container ${this.#id} has no process ${pid}`, {
      containerId: this.#id,
    });
  }

  notRunning(operation: string): AgentError {
    const text = `container ${this.#id} is not running`;
    return this.#error('container-not-running', operation, text);
  }

  wrongState(code: AgentErrorCode, operation: string, status: ContainerStatus): AgentError {
    return this.#error(code, operation, `container ${this.#id} is ${status}`);
  }

  notIn(
    wanted: ContainerStatus,
    code: AgentErrorCode,
    operation: string,
    status: ContainerStatus,
  ): AgentError {
    return this.#error(code, operation, `container ${this.#id} is not ${wanted}: ${status}`);
  }

  /** In the words a host knows from its runtime, like the next. */
  notStopped(status: ContainerStatus): AgentError {
    const text = `runc delete failed with exit status 1: cannot delete container ${this.#id} that is not stopped: ${status}`;
    return this.#error('container-not-stopped', 'delete', text);
  }

  hostsStart(status: ContainerStatus, started: boolean): AgentError {
    if (status === 'stopped' && !started) {
      const text = `container ${this.#id} ended before it was started`;
      return this.#error('container-not-running', 'start', text);
    }
    const text = 'runc start failed with exit status 1: cannot start an already running container';
    return this.#error('container-not-created', 'start', text);
  }

  #error(code: AgentErrorCode, operation: string, text: string): AgentError {
    return new AgentError(code, text, { operation, containerId: this.#id });
  }
}
