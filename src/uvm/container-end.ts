import { constants } from 'node:os';
import type { OomCounts } from '../cgroup/oom-watch.ts';
import { type ExitStatus, exitCodeOf } from '../os/process.ts';
import type { ContainerContext, ContainerParts } from './container-parts.ts';
import { ExitAnnouncement, exitTypeOf } from './exit-announcement.ts';
import type { GuestProcess } from './guest-process.ts';
import { MemoryKills } from './memory-kills.ts';
import type { ContainerExit } from './operations.ts';

const { SIGTERM, SIGKILL } = constants.signals;

/** What brings a container's init to its end, and who is told of it when. */
export class ContainerEnd implements Disposable {
  readonly #id: string;
  readonly #init: GuestProcess;
  readonly #parts: ContainerParts;
  readonly #context: ContainerContext;
  readonly #memoryKills: MemoryKills;
  readonly #announcement: ExitAnnouncement;
  #outOfMemory = false;
  /** The last of SIGTERM and SIGKILL that reached init through the agent. */
  #endedBy: number | undefined;

  constructor(init: GuestProcess, parts: ContainerParts, context: ContainerContext) {
    const { runtime, restored } = parts;
    this.#id = runtime.id;
    this.#init = init;
    this.#parts = parts;
    this.#context = context;
    this.#endedBy = restored?.endedBy;
    this.#memoryKills = new MemoryKills(runtime, context.logger, ({ kills }) =>
      context.lifecycle.emit({ kind: 'oom', containerId: this.#id, kills }),
    );
    this.#announcement = new ExitAnnouncement(init, () => this.#announce());
  }

  /** What became of the container for want of memory; undefined while nothing did. */
  get memory(): OomCounts | undefined {
    return this.#memoryKills.counts;
  }

  /** Processes that the kernel has killed for memory by now. */
  get memoryKills(): number {
    return this.#memoryKills.kills;
  }

  /** It was for want of memory that init ended. */
  get outOfMemory(): boolean {
    return this.#outOfMemory;
  }

  watchMemory(): void {
    this.#memoryKills.watch();
  }

  /** A signal has reached init. */
  noteSignal(signal: number): void {
    if (signal !== SIGTERM && signal !== SIGKILL) return;
    this.#endedBy = signal;
    this.#parts.record.endedBy(signal);
  }

  /** Init has ended: the log and the events say so. */
  initExited(status: ExitStatus): void {
    const { pid } = this.#init;
    const { lifecycle, logger } = this.#context;
    logger.info('container exited', { containerId: this.#id, pid, status });
    this.#outOfMemory = this.#memoryKills.endedBy(status) > 0;
    if (this.#parts.record.progress.endTold === true) return;
    lifecycle.emit({
      kind: 'exit',
      containerId: this.#id,
      processId: 'init',
      pid,
      exitCode: exitCodeOf(status),
      oomKilled: this.#outOfMemory,
    });
    // Who waits for the exit code has it first.
    setImmediate(() => this.#parts.record.tellsEnd());
  }

  /** What only the container's cgroup knows is gone with it. */
  beforeDelete(): void {
    if (!this.#init.running) this.#memoryKills.tell();
  }

  /** Resolves when who waits for init was answered and the host was notified. */
  async told(): Promise<void> {
    await this.#init.drained;
    await this.#announcement.afterAnswers();
  }

  [Symbol.dispose](): void {
    this.#memoryKills[Symbol.dispose]();
  }

  #announce(): void {
    const { record, door } = this.#parts;
    // A host knows only what it has made: hcsshim's gives its bridge up over any other container.
    if (door !== undefined) {
      this.#memoryKills.tell();
      return;
    }
    if (record.progress.announced === true) return;
    const exit = { type: exitTypeOf(this.#endedBy), ...this.#killedForMemory() };
    record.announcing(exit);
    const told = (): void => record.announced();
    this.#context.onExit({ containerId: this.#id, ...exit, told });
    this.#memoryKills.tell();
  }

  #killedForMemory(): Pick<ContainerExit, 'memoryKills'> {
    const { status } = this.#init;
    const memoryKills = status === undefined ? 0 : this.#memoryKills.endedBy(status);
    return memoryKills === 0 ? {} : { memoryKills };
  }
}
