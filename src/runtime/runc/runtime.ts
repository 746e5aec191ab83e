import type { Logger } from '../../log/logger.ts';
import { prepareFileWaits } from '../../os/completed-file.ts';
import type { Reaper } from '../../os/reaper.ts';
import {
  type ContainerId,
  type CreateOptions,
  type Runtime,
  type RuntimeContainer,
  type RuntimeContainerState,
  RuntimeError,
  type RuntimeTakeover,
} from '../runtime.ts';
import { Bookkeeping } from './bookkeeping.ts';
import { RuntimeCommands } from './commands.ts';
import { createContainer } from './create.ts';
import { parseList } from './output.ts';
import { RuntimeProgram } from './program.ts';
import type { RuncServices } from './services.ts';
import { type CheckpointSupport, requireCriu, requireSystemd } from './support.ts';

export interface RuncRuntimeOptions {
  reaper: Reaper;
  logger: Logger;
  /** What it is called; default: the program. */
  name?: string;
  /** Cgroups are made by systemd (`--systemd-cgroup`); default: by the runtime. */
  systemdCgroup?: boolean;
  /** Name or path of runc or of an OCI runtime with its command line, e.g. crun. Default "runc". */
  program?: string;
  /** Where the agent keeps its own bookkeeping. Default /var/run/gcsrunc. */
  root?: string;
  /** Where the runtime keeps its state (`--root`). Default: the runtime's own place. */
  stateRoot?: string;
}

/**
 * An OCI runtime run as a program, one command an operation, with the command line of runc 1.1.
 * Making one makes the bookkeeping root; the program itself is looked for when it is first run.
 */
export class RuncRuntime implements Runtime {
  readonly name: string;
  readonly program: string;
  readonly cgroupManager: 'cgroupfs' | 'systemd';
  #checkpoints: Promise<CheckpointSupport> | undefined;
  readonly #services: RuncServices;
  /** Ids of containers that are being created or exist. */
  readonly #ids = new Set<ContainerId>();

  constructor(options: RuncRuntimeOptions) {
    const { reaper, logger, program = 'runc', root = '/var/run/gcsrunc', stateRoot } = options;
    const { name = program, systemdCgroup = false } = options;
    this.name = name;
    this.program = program;
    this.cgroupManager = systemdCgroup ? 'systemd' : 'cgroupfs';
    prepareFileWaits();
    const bookkeeping = new Bookkeeping(root);
    const commands = new RuntimeCommands({
      reaper,
      program: new RuntimeProgram(program),
      stateRoot,
      systemdCgroup,
      scratch: root,
    });
    this.#services = { reaper, commands, bookkeeping, logger };
  }

  /** Last word of the first line of `--version`, e.g. "1.1.5". */
  async version(): Promise<string> {
    const output = await this.#services.commands.version();
    return /(\S+)\s*$/.exec(output.split('\n')[0] ?? '')?.[1] ?? '';
  }

  checkpointSupport(): Promise<CheckpointSupport> {
    this.#checkpoints ??= import('./criu.ts').then(({ criuSupport }) =>
      criuSupport(this.#services),
    );
    return this.#checkpoints;
  }

  async create(options: CreateOptions): Promise<RuntimeContainer> {
    const { id } = options;
    if (this.cgroupManager === 'systemd') requireSystemd(id);
    if (options.checkpoint !== undefined) await requireCriu(this, 'restore', id);
    if (this.#ids.has(id)) {
      throw new RuntimeError('already-exists', `container ${id} already exists`, {
        operation: 'create',
        containerId: id,
      });
    }
    this.#ids.add(id);
    const forget = (): void => {
      this.#ids.delete(id);
    };
    try {
      return await createContainer(this.#services, options, forget, this);
    } catch (error) {
      forget();
      throw error;
    }
  }

  async list(): Promise<RuntimeContainerState[]> {
    const { commands } = this.#services;
    return parseList(await commands.run({ operation: 'list', args: ['-f', 'json'], output: true }));
  }

  async takeOver(bundles: readonly string[]): Promise<RuntimeTakeover> {
    // Most agents have nobody before them.
    const { RuncTakeover } = await import('./load.ts');
    await RuncTakeover.settle(this.#services, bundles);
    return new RuncTakeover(this.#services, await this.list(), this.#ids);
  }
}
