/** What is answered when a container is not in the state that is asked for. */
import { AgentError, type AgentErrorCode } from '../errors.ts';
import type { ContainerId } from '../runtime/runtime.ts';

export type ContainerStatus = 'created' | 'running' | 'paused' | 'stopped';

interface Refusing {
  readonly id: ContainerId;
  readonly status: ContainerStatus;
}

export function deleted(containerId: ContainerId): AgentError {
  return new AgentError('container-not-found', `container ${containerId} not found`, {
    containerId,
  });
}

export function noProcess(containerId: ContainerId, pid: number): AgentError {
  return new AgentError('process-not-found', `container ${containerId} has no process ${pid}`, {
    containerId,
  });
}

export function wrongState(
  { id, status }: Refusing,
  code: AgentErrorCode,
  operation: string,
): AgentError {
  return refusal(id, code, operation, `container ${id} is ${status}`);
}

export function notIn(
  wanted: ContainerStatus,
  { id, status }: Refusing,
  code: AgentErrorCode,
  operation: string,
): AgentError {
  return refusal(id, code, operation, `container ${id} is not ${wanted}: ${status}`);
}

/** {@link notIn} for what needs one that runs. */
export function notRunning(container: Refusing, operation: string): AgentError {
  return notIn('running', container, 'container-not-running', operation);
}

// ---- in the words that a host knows from its runtime --------------------------------------------

export function hostsShutdown({ id }: Refusing): AgentError {
  return refusal(id, 'container-not-running', 'shutdown', `container ${id} is not running`);
}

export function hostsDelete({ id, status }: Refusing): AgentError {
  const text = `runc delete failed with exit status 1: cannot delete container ${id} that is not stopped: ${status}`;
  return refusal(id, 'container-not-stopped', 'delete', text);
}

/** @param started it has been, whatever became of it */
export function hostsStart({ id, status }: Refusing, started: boolean): AgentError {
  if (status === 'stopped' && !started) {
    const text = `container ${id} ended before it was started`;
    return refusal(id, 'container-not-running', 'start', text);
  }
  const text = 'runc start failed with exit status 1: cannot start an already running container';
  return refusal(id, 'container-not-created', 'start', text);
}

function refusal(
  containerId: ContainerId,
  code: AgentErrorCode,
  operation: string,
  text: string,
): AgentError {
  return new AgentError(code, text, { operation, containerId });
}
