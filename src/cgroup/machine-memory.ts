import { writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { Uevents } from '../os/uevents.ts';
import { watchAgent } from './agent-memory.ts';
import { readFileIfPresent } from './files.ts';
import type { Cgroup } from './hierarchy.ts';
import { cgroupAt, makeCgroup } from './make.ts';
import { OomWatch } from './oom-watch.ts';

export interface MachineMemoryOptions {
  /** Memory that the containers together do not get, in bytes. */
  readonly reserveBytes: number;
  /** What the agent uses before the log says so, in bytes. */
  readonly agentBytes: number;
  readonly log: Logger;
  /** Put memory to use as it is plugged in: where nobody else, like udev, does. */
  readonly takePlugged?: boolean;
  /** Absolute paths in every hierarchy; default /pods and /gcs. */
  readonly cgroups?: { readonly pods: string; readonly agent: string };
  /** Memory of the machine in bytes; default: what the kernel says now. */
  readonly total?: () => number;
  /** Tells that devices, memory among them, came or went. */
  readonly watchDevices?: (onChange: () => void) => Disposable;
}

/**
 * The division of a machine's memory, for a machine that is the agent's own: all pods together,
 * the cgroup /pods, get what there is less a reserve; the agent itself is in /gcs, where it is
 * watched and not limited. The limit follows the machine's memory: the kernel announces memory that
 * is plugged in; for memory that comes by a balloon, which it does not announce, refresh() is
 * called when there is a reason to look.
 */
export class MachineMemory implements Disposable {
  readonly #options: MachineMemoryOptions;
  readonly #pods: Cgroup;
  readonly #watches = new DisposableStack();
  #limit: number | undefined;

  private constructor(options: MachineMemoryOptions, pods: Cgroup) {
    this.#options = options;
    this.#pods = pods;
  }

  /** Throws when the machine has less memory than the reserve, or no memory controller. */
  static async start(options: MachineMemoryOptions): Promise<MachineMemory> {
    const { log, agentBytes, cgroups = { pods: '/pods', agent: '/gcs' } } = options;
    countBelow(cgroupAt('/').controllers.get('memory'));
    // The limit that an agent before this one has set stays until there is another.
    const pods = await makeCgroup(cgroups.pods, {}, { inner: true, log, controllers: ['memory'] });
    const memory = new MachineMemory(options, pods);
    try {
      if (options.takePlugged === true) takePlugged(log);
      memory.#begin();
      memory.#watches.use(memory.#watchPods());
      memory.#watches.use(memory.#watchMachine());
      memory.#watches.use(await watchAgent({ agentBytes, log, cgroup: cgroups.agent }));
      return memory;
    } catch (error) {
      memory[Symbol.dispose]();
      throw error;
    }
  }

  /** Bytes that all pods together may use. */
  get limit(): number | undefined {
    return this.#limit;
  }

  /** Fits the limit to the memory there is now. AgentError 'failed' when the kernel refuses it: more than that is in use. */
  refresh(): void {
    const { reserveBytes, log, total = totalmem } = this.#options;
    const limit = total() - reserveBytes;
    if (limit <= 0) {
      throw new AgentError('failed', `${total()} bytes of memory are no more than the reserve`);
    }
    if (limit === this.#limit) return;
    const { file, value } = limitFile(this.#pods, limit);
    try {
      writeFileSync(file, value, { flag: 'r+' });
    } catch (error) {
      throw AgentError.from(error, { operation: 'limit the memory of pods' });
    }
    this.#limit = limit;
    log.info('memory for pods', { bytes: limit });
  }

  /** Pods of an agent before this one may use more than there is for them now: their limit stays then. */
  #begin(): void {
    try {
      this.refresh();
    } catch (error) {
      if (!(error instanceof AgentError && error.errno === 'EBUSY')) throw error;
      this.#tell(error);
    }
  }

  #watchMachine(): Disposable {
    const { watchDevices = (onChange) => new Uevents(onChange) } = this.#options;
    return watchDevices(() => {
      try {
        this.refresh();
      } catch (error) {
        this.#tell(error);
      }
    });
  }

  #tell(error: unknown): void {
    this.#options.log.error('memory for pods is not what it should be', { error: String(error) });
  }

  #watchPods(): OomWatch | undefined {
    const { log } = this.#options;
    return OomWatch.start(this.#pods, ({ events }) =>
      log.warning('pods are out of memory', { events }),
    );
  }

  [Symbol.dispose](): void {
    this.#watches.dispose();
  }
}

function limitFile(pods: Cgroup, limit: number): { file: string; value: string } {
  const legacy = pods.controllers.get('memory');
  if (legacy !== undefined) return { file: `${legacy}/memory.limit_in_bytes`, value: `${limit}` };
  if (pods.unified !== undefined) return { file: `${pods.unified}/memory.max`, value: `${limit}` };
  throw new AgentError('not-supported', 'this machine has no cgroups');
}

/** v1 of older kernels limits only the cgroup itself unless told otherwise at its root, before there is any below. */
function countBelow(root: string | undefined): void {
  if (root === undefined) return;
  const file = `${root}/memory.use_hierarchy`;
  if (readFileIfPresent(file)?.trim() === '0') writeFileSync(file, '1', { flag: 'r+' });
}

/** Kernel documentation "Memory Hot(Un)Plug": what is plugged in is not used until it is put online. */
function takePlugged(log: Logger): void {
  const file = '/sys/devices/system/memory/auto_online_blocks';
  if (readFileIfPresent(file)?.trim() !== 'offline') return;
  try {
    writeFileSync(file, 'online', { flag: 'r+' });
  } catch (error) {
    log.error('memory that is plugged in will not be used', { error: String(error) });
  }
}
