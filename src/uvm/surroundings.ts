import { existsSync, rmSync } from 'node:fs';
import { cgroupAt, makeCgroup } from '../cgroup/make.ts';
import { removeEmpty } from '../cgroup/processes.ts';
import type { Logger } from '../log/logger.ts';
import type { Fd } from '../os/fd.ts';
import { type ContainerPlan, sharesHostNetwork } from '../spec/plan.ts';
import { podDirectoryOf } from '../spec/pod-mounts.ts';
import type { ContainerRecord } from '../state/journal.ts';
import type { SurroundingsRecord } from '../state/records.ts';
import { PinnedSources, removePins } from './pinned-sources.ts';
import type { PodPlace, Pods } from './pod.ts';
import { PodDirectory } from './pod-directory.ts';
import { type OpenLog, openLog } from './pod-log.ts';
import { writeSecurityContext } from './security-context.ts';

export interface SurroundingsContext {
  readonly id: string;
  readonly bundle: string;
  readonly pods: Pods;
  readonly logger: Logger;
  /** Told of each thing before it is made. */
  readonly record: Pick<ContainerRecord, 'surroundings'>;
}

/**
 * All a container needs around its bundle before the runtime creates it: its place in a pod, for a
 * sandbox the pod's directory and cgroup, the mounts it shares, its log, the documents it is
 * offered. Made whole or not at all; what is left of it goes when it is disposed.
 */
export class Surroundings implements AsyncDisposable {
  readonly #logger: Logger;
  readonly #undo = new AsyncDisposableStack();
  #place: (PodPlace & { opened?: () => void }) | undefined;
  #log: OpenLog | undefined;
  #logFile: Fd | undefined;
  #pins: PinnedSources | undefined;

  private constructor(logger: Logger) {
    this.#logger = logger;
  }

  static async make(plan: ContainerPlan, context: SurroundingsContext): Promise<Surroundings> {
    const made = new Surroundings(context.logger);
    try {
      await made.#enterPod(plan, context);
      if (plan.log !== undefined) {
        const { directory } = plan.log;
        if (!existsSync(directory)) context.record.surroundings({ logDirectory: directory });
        made.#openLog(openLog(plan.log));
      }
      if (plan.securityContext !== undefined) {
        context.record.surroundings({ securityContext: plan.securityContext.directory });
        made.#undo.defer(writeSecurityContext(plan.securityContext));
      }
      if (plan.sources.length > 0) {
        context.record.surroundings({ pins: plan.sources.map(({ pinned }) => pinned) });
        made.#pins = await PinnedSources.pin(plan.sources, context.logger);
      }
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Those of a container that an agent before this one made, or was making: of the latter the pins
   * are left, too. What was not made yet when that agent ended is not missed.
   */
  static async restore(
    record: SurroundingsRecord,
    context: Pick<SurroundingsContext, 'id' | 'pods' | 'logger'>,
  ): Promise<Surroundings> {
    const made = new Surroundings(context.logger);
    made.#reenterPod(record, context);
    const { logDirectory, securityContext, pins } = record;
    for (const directory of [logDirectory, securityContext]) {
      if (directory === undefined) continue;
      made.#undo.defer(() => rmSync(directory, { recursive: true, force: true }));
    }
    if (pins !== undefined) await removePins(pins, context.logger);
    return made;
  }

  #reenterPod(
    { pod, cgroup, podDirectory }: SurroundingsRecord,
    { id, pods, logger }: Pick<SurroundingsContext, 'id' | 'pods' | 'logger'>,
  ): void {
    if (pod === undefined) return;
    if (pod.sandbox === undefined) {
      // Without its sandbox it is as if it had no pod.
      if (pods.find(pod.id) !== undefined) this.#place = this.#undo.use(pods.join(pod.id, id));
      return;
    }
    const place = pods.open(pod.id, id, pod.sandbox);
    place.opened();
    this.#place = this.#undo.use(place);
    if (cgroup !== undefined) this.#undo.defer(() => removeEmpty(cgroupAt(cgroup)));
    if (podDirectory === undefined) return;
    const shared = PodDirectory.restore(pod.sandbox.directory, podDirectory, logger);
    this.#undo.defer(() => shared.remove());
  }

  get place(): PodPlace | undefined {
    return this.#place;
  }

  /** The log file of init's output, once; undefined without one. */
  takeLog(): Fd | undefined {
    const file = this.#logFile;
    this.#logFile = undefined;
    return file;
  }

  /** The container exists: what was only needed to create it goes, what it shares with its pod stays there. */
  async created(): Promise<void> {
    this.#log?.keep();
    this.#pins?.keep();
    await this.#unpin();
    this.#place?.opened?.();
  }

  async #enterPod(plan: ContainerPlan, context: SurroundingsContext): Promise<void> {
    const { kind, spec } = plan;
    const { id, pods, logger } = context;
    switch (kind.kind) {
      case 'standalone':
        return;
      case 'workload':
        context.record.surroundings({ pod: { id: kind.sandboxId } });
        this.#place = this.#undo.use(pods.join(kind.sandboxId, id));
        return;
      case 'sandbox': {
        const directory = podDirectoryOf(kind, context.bundle);
        const hostNetwork = sharesHostNetwork(spec);
        this.#place = this.#undo.use(pods.open(kind.podId, id, { directory, hostNetwork }));
        const cgroupPath = `/pods/${kind.podId}`;
        context.record.surroundings({
          pod: { id: kind.podId, sandbox: { directory, hostNetwork } },
          cgroup: cgroupPath,
          podDirectory: PodDirectory.additions(directory, plan.files),
        });
        const resources = spec.linux?.resources ?? {};
        const cgroup = await makeCgroup(cgroupPath, resources, {
          inner: true,
          log: logger,
        });
        this.#undo.defer(() => removeEmpty(cgroup));
        const shared = await PodDirectory.make(directory, plan.files, logger);
        this.#undo.defer(() => shared.remove());
      }
    }
  }

  #openLog(log: OpenLog): void {
    this.#log = log;
    this.#logFile = log.file;
    this.#undo.defer(() => log.undo());
  }

  async #unpin(): Promise<void> {
    await this.#pins?.[Symbol.asyncDispose]();
    this.#pins = undefined;
  }

  /** Never throws: what stays is named in the log. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.takeLog()?.close();
    try {
      await this.#unpin();
      await this.#undo.disposeAsync();
    } catch (error) {
      this.#logger.error('not everything of a container was removed', { error: String(error) });
    }
  }
}
