import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Journal } from '../state/journal.ts';
import { isAtOrBelow } from '../storage/host-path.ts';
import type { MountPlan } from '../storage/mount-plan.ts';
import { planResource, resourcePath } from '../storage/plan.ts';
import type { StorageKind, StorageResource } from '../storage/resource.ts';
import { type Applied, applySteps, recallSteps, type StepMemories } from '../storage/steps.ts';
import type { StorageWorld } from '../storage/world.ts';
import type { ResourceOperations } from './operations.ts';

export interface ResourceContext {
  world: StorageWorld;
  logger: Logger;
  /** The container that has its root at or below a path and has not ended; undefined when there is none. */
  containerAt: (path: string) => string | undefined;
  /** What an agent that takes the place of this one is told. */
  journal?: Journal;
  /** Called after each step of an Add; what it throws makes the Add fail there. */
  afterStep?: (name: string) => void;
}

/** `left`: an Add or Remove failed, and so did taking it back; a Remove goes on with it. */
type State = 'adding' | 'ready' | 'removing' | 'left';

interface Entry {
  readonly kind: StorageKind;
  readonly path: string;
  readonly title: string;
  readonly needs: readonly string[];
  readonly disk: MountPlan['disk'];
  state: State;
  applied: Applied | undefined;
  /** Of its record, in the order of the Adds. */
  readonly number: number;
}

/** What a record of an Add holds. */
interface StorageRecord {
  readonly number: number;
  readonly resource: StorageResource;
  readonly steps: StepMemories;
}

const BUSY: Record<Exclude<State, 'ready'>, string> = {
  adding: 'is still being added',
  removing: 'is being removed',
  left: 'was only partly removed',
};

function refused(message: string, errno: string): AgentError {
  return new AgentError('failed', message, { operation: 'modify', errno });
}

/** What the host has had mounted in the VM: each by its path, with what stands on what. */
export class Resources implements ResourceOperations {
  readonly #context: ResourceContext;
  readonly #entries = new Map<string, Entry>();
  /** Adds and removes under way. */
  readonly #running = new Set<Promise<void>>();
  #lastNumber = 0;

  constructor(context: ResourceContext) {
    this.#context = context;
  }

  add(resource: StorageResource): Promise<void> {
    return this.#run(this.#add(resource));
  }

  async #add(resource: StorageResource): Promise<void> {
    const { kind } = resource;
    const plan = planResource(resource, this.#context.world);
    const { path, title, needs, disk } = plan;
    const taken = this.#entries.get(path);
    if (taken !== undefined) throw refused(`${path} is taken by ${taken.title}`, 'EEXIST');
    for (const need of [path, ...needs]) this.#assertReady(need);
    const number = ++this.#lastNumber;
    const entry: Entry = {
      kind,
      path,
      title,
      needs,
      disk,
      state: 'adding',
      applied: undefined,
      number,
    };
    this.#entries.set(path, entry);
    try {
      entry.applied = await applySteps(plan.steps, {
        onLeft: (left) => {
          entry.applied = left;
        },
        remember: (steps) => this.#record({ number, resource, steps }),
        ...(this.#context.afterStep === undefined ? {} : { afterStep: this.#context.afterStep }),
      });
      entry.state = 'ready';
    } catch (error) {
      if (entry.applied === undefined) this.#forget(entry);
      else entry.state = 'left';
      throw AgentError.from(error, { operation: 'modify' });
    }
  }

  remove(resource: StorageResource): Promise<void> {
    return this.#run(this.#remove(resource));
  }

  async #remove(resource: StorageResource): Promise<void> {
    const path = resourcePath(resource);
    const entry = this.#entries.get(path);
    if (entry === undefined || entry.kind !== resource.kind) {
      throw refused(`${path}: nothing of that kind was added there, or it was removed`, 'ENOENT');
    }
    if (entry.state === 'adding' || entry.state === 'removing') {
      throw refused(`${path} ${BUSY[entry.state]}`, 'EBUSY');
    }
    const user = this.#userOf(entry);
    if (user !== undefined) throw refused(`${path} is in use by ${user}`, 'EBUSY');
    entry.state = 'removing';
    try {
      await entry.applied?.undo();
      this.#forget(entry);
    } catch (error) {
      entry.state = entry.applied?.touched === false ? 'ready' : 'left';
      throw AgentError.from(error, { operation: 'modify' });
    }
  }

  /**
   * Takes over what an agent before this one has added, from its records in their order; an Add
   * that was cut off is undone. What cannot be undone stays, and can be removed by the host.
   */
  async restore(records: readonly unknown[]): Promise<void> {
    const sorted = (records as StorageRecord[]).sort((a, b) => a.number - b.number);
    for (const { number, resource, steps } of sorted) {
      const { path, title, needs, disk, ...plan } = planResource(resource, this.#context.world);
      const applied = recallSteps(plan.steps, steps);
      const { kind } = resource;
      const whole = steps.done === plan.steps.length;
      const state = whole ? 'ready' : 'left';
      const entry: Entry = { kind, path, title, needs, disk, state, applied, number };
      this.#entries.set(path, entry);
      this.#lastNumber = Math.max(this.#lastNumber, number);
      if (!whole) await this.#undoCutOff(entry);
    }
  }

  async #undoCutOff(entry: Entry): Promise<void> {
    const { path } = entry;
    try {
      await entry.applied?.undo();
      this.#forget(entry);
      this.#context.logger.info('an add that was cut off is undone', { path });
    } catch (error) {
      this.#context.logger.error('an add that was cut off is not undone', {
        path,
        error: String(error),
      });
    }
  }

  #record(record: StorageRecord): void {
    this.#context.journal?.write(`storage/${record.number}.json`, record);
  }

  #forget({ path, number }: Entry): void {
    this.#entries.delete(path);
    this.#context.journal?.removeFile(`storage/${number}.json`);
  }

  async unplugDisk(disk: { controller: number; lun: number }): Promise<void> {
    for (const { disk: used, path } of this.#entries.values()) {
      if (used?.controller !== disk.controller || used.lun !== disk.lun) continue;
      const name = `disk ${disk.lun} of controller ${disk.controller}`;
      throw refused(`${name} is in use at ${path}`, 'EBUSY');
    }
    await this.#asAgentError(() => this.#context.world.devices.unplug(disk));
  }

  async awaitPciDevice(id: string): Promise<void> {
    await this.#asAgentError(() => this.#context.world.devices.pci(id));
  }

  async #asAgentError(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      throw AgentError.from(error, { operation: 'modify' });
    }
  }

  /** A section for DumpStacks. */
  describe(): string[] {
    if (this.#entries.size === 0) return [];
    const lines = [...this.#entries.values()].map(
      ({ path, title, state }) => `  ${path}: ${title}${state === 'ready' ? '' : `, ${state}`}`,
    );
    return [['resources', ...lines].join('\n')];
  }

  async #run(work: Promise<void>): Promise<void> {
    this.#running.add(work);
    try {
      await work;
    } finally {
      this.#running.delete(work);
    }
  }

  /** Removes everything, what stands on others first; logs what cannot be removed. Nothing may be added any more. */
  async destroy(): Promise<void> {
    await Promise.allSettled(this.#running);
    // Whatever stands on another was added after it.
    for (const entry of [...this.#entries.values()].reverse()) {
      try {
        await entry.applied?.undo();
        this.#forget(entry);
      } catch (error) {
        this.#context.logger.error('resource not removed', {
          path: entry.path,
          error: String(error),
        });
      }
    }
  }

  /** What stands on a resource, in words. */
  #userOf(entry: Entry): string | undefined {
    for (const other of this.#entries.values()) {
      if (other === entry) continue;
      const stands = [other.path, ...other.needs].some((need) => isAtOrBelow(need, entry.path));
      if (stands) return `${other.title} at ${other.path}`;
    }
    const container = this.#context.containerAt(entry.path);
    return container === undefined ? undefined : `container ${container}`;
  }

  /** A path below something half there cannot be built on. */
  #assertReady(path: string): void {
    for (const { state, path: below } of this.#entries.values()) {
      if (state === 'ready' || !isAtOrBelow(path, below)) continue;
      throw refused(`${path}: ${below} ${BUSY[state]}`, 'EBUSY');
    }
  }
}
