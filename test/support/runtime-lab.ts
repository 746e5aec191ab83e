import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cgroupMounts } from '../../src/cgroup/hierarchy.ts';
import { type LogFields, type Logger, silentLogger } from '../../src/log/logger.ts';
import { Reaper } from '../../src/os/reaper.ts';
import { parseContainerId } from '../../src/runtime/container-id.ts';
import { Bookkeeping } from '../../src/runtime/runc/bookkeeping.ts';
import { RuntimeCommands } from '../../src/runtime/runc/commands.ts';
import { RuncContainer } from '../../src/runtime/runc/container.ts';
import type { RuncProcess } from '../../src/runtime/runc/process.ts';
import { RuntimeProgram } from '../../src/runtime/runc/program.ts';
import { RuncRuntime } from '../../src/runtime/runc/runtime.ts';
import type { ContainerId, ProcessStdio, RuntimeContainer } from '../../src/runtime/runtime.ts';
import type { OciProcess } from '../../src/spec/oci.ts';
import { makeBundle, makeSpec, type SpecOptions } from './bundle.ts';
import { type Census, leftovers, takeCensus } from './census.ts';
import { removeCgroups } from './cgroup-tree.ts';
import { namesIn } from './proc.ts';
import { makeRootfs } from './rootfs.ts';

/** Descriptors 0 to 2 on /dev/null. */
export const noStdio: ProcessStdio = {
  kind: 'descriptors',
  stdin: null,
  stdout: null,
  stderr: null,
};

/** An exec'd process of root in "/"; a string is a script for `sh -c`. */
export function execProcess(args: string | string[], more: OciProcess = {}): OciProcess {
  return {
    args: typeof args === 'string' ? ['sh', '-c', args] : args,
    env: ['PATH=/bin'],
    cwd: '/',
    user: { uid: 0, gid: 0 },
    ...more,
  };
}

/** True when the program is in PATH. */
export function installed(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some((path) => existsSync(join(path, program)));
}

/**
 * Path of crun, or of a script that runs it without the unified hierarchy in sight: crun refuses
 * a machine that has controllers in both versions of cgroups.
 */
function crunIn(directory: string): string {
  const unified = '/sys/fs/cgroup/unified';
  const controllers = join(unified, 'cgroup.controllers');
  if (!existsSync(controllers) || readFileSync(controllers, 'utf8').trim() === '') return 'crun';
  const script = join(directory, 'crun');
  const inner = `umount ${unified} && exec crun "$@"`;
  writeFileSync(script, `#!/bin/sh\nexec unshare -m sh -c '${inner}' crun "$@"\n`);
  chmodSync(script, 0o755);
  return script;
}

function hierarchyRoots(): string[] {
  return cgroupMounts()
    .filter(({ root }) => root === '/')
    .map(({ mountPoint }) => mountPoint);
}

/**
 * A runtime with everything of its own (bookkeeping, runtime state, bundles, a parent cgroup), so
 * that what is left can be counted whatever else the machine does.
 */
export class RuntimeLab {
  readonly directory = mkdtempSync('/tmp/rt-');
  readonly reaper = Reaper.start();
  readonly program: string;
  /** Made anew by count(). */
  runtime: RuncRuntime;
  /** What was logged at level warning and error. */
  readonly complaints: { message: string; fields: LogFields | undefined }[] = [];
  readonly #rootfs = makeRootfs(join(this.directory, 'rootfs'));
  readonly #cgroup = `/gcs-test-${process.pid}-${Date.now().toString(36)}`;
  #bundles = 0;
  #before: Census | undefined;
  #watched = 0;

  constructor(name: 'runc' | 'crun') {
    this.program = name === 'crun' ? crunIn(this.directory) : name;
    this.runtime = this.runtimeOf(this.program);
  }

  get root(): string {
    return join(this.directory, 'gcsrunc');
  }

  get stateRoot(): string {
    return join(this.directory, 'state');
  }

  /** Another runtime on the same places. */
  runtimeOf(program: string): RuncRuntime {
    const note = (message: string, fields?: LogFields): void => {
      this.complaints.push({ message, fields });
    };
    const logger: Logger = { ...silentLogger, warning: note, error: note };
    const { reaper, root, stateRoot } = this;
    return new RuncRuntime({ reaper, logger, program, root, stateRoot });
  }

  id(name = 'c'): ContainerId {
    return parseContainerId(name);
  }

  /** A bundle on the lab's shared root file system, with its cgroup below the lab's. */
  bundle(options: SpecOptions): string {
    this.#bundles += 1;
    const path = join(this.directory, `bundle-${this.#bundles}`);
    const cgroupsPath = `${this.#cgroup}/${this.#bundles}`;
    return makeBundle(path, makeSpec({ rootPath: this.#rootfs, cgroupsPath, ...options }));
  }

  get rootfs(): string {
    return this.#rootfs;
  }

  /** Directories of the lab's cgroup in every hierarchy. */
  get cgroups(): string[] {
    return hierarchyRoots().map((root) => join(root, this.#cgroup));
  }

  async create(
    options: SpecOptions,
    more: { id?: ContainerId; stdio?: ProcessStdio; signal?: AbortSignal } = {},
  ): Promise<RuntimeContainer> {
    const stdio: ProcessStdio = options.terminal === true ? { kind: 'terminal' } : noStdio;
    return this.runtime.create({ id: this.id(), bundle: this.bundle(options), stdio, ...more });
  }

  /** Before a test. */
  count(): void {
    this.complaints.length = 0;
    this.runtime = this.runtimeOf(this.program); // Knows nothing of what a failed test had.
    this.#watched = this.reaper.watched;
    // Node opens one inotify(7) instance with the first watch, and keeps it.
    watch(this.directory).close();
    this.#before = takeCensus(this.#scope());
  }

  /** After a test: throws naming what is left of it. Machine-wide state is left to others. */
  async assertClean(): Promise<void> {
    const before = this.#before;
    if (before === undefined) throw new Error('count() was not called');
    // Removal of cgroups and of the last threads is the kernel's and may take a moment.
    for (const deadline = performance.now() + 5_000; ; await delay(20)) {
      const left = leftovers(before, takeCensus(this.#scope())).filter(
        (line) => !line.startsWith('state in /run/'),
      );
      const watched = this.reaper.watched - this.#watched;
      if (left.length === 0 && watched <= 0) return;
      if (performance.now() < deadline) continue;
      throw new Error(`left behind:\n  ${[...left, `${watched} more watched`].join('\n  ')}`);
    }
  }

  #scope() {
    return { directories: [this.root, this.stateRoot], cgroups: this.cgroups };
  }

  /** The same container as an agent sees it that cannot see its cgroup. */
  withoutCgroup(container: RuntimeContainer): RuntimeContainer {
    const { id, bundle, init, ownsPidNamespace } = container;
    const { reaper, root, stateRoot } = this;
    const program = new RuntimeProgram(this.program);
    const services = {
      reaper,
      commands: new RuntimeCommands({ reaper, program, stateRoot, scratch: root }),
      bookkeeping: new Bookkeeping(root),
      logger: silentLogger,
    };
    return new RuncContainer(services, {
      id,
      bundle,
      init: init as RuncProcess,
      ownsPidNamespace,
      membership: undefined,
      onDeleted: () => {},
    });
  }

  /** Runs a command of the runtime behind the agent's back. */
  byHand(...args: string[]): void {
    execFileSync(this.program, ['--root', this.stateRoot, ...args]);
  }

  /** Deletes what a failed test has left, so that the next one begins clean. */
  async sweep(): Promise<void> {
    for (const { id } of await this.runtime.list()) {
      this.byHand('delete', '--force', '--', id);
    }
    for (const name of namesIn(this.root)) rmSync(join(this.root, name), { recursive: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sweep();
    this.reaper[Symbol.dispose]();
    removeCgroups(this.cgroups);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
