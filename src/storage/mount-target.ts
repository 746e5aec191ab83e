import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { attachMount, mountByPath, mountIdOf, unmountPath } from '../os/mount.ts';
import { mountsAt } from '../os/mount-table.ts';
import { fdPath } from '../os/openat2.ts';
import { type Directories, inParentAsync, isEmptyDirectory } from './directories.ts';
import { badValue } from './host-path.ts';
import type { Step } from './steps.ts';

/** The directory a host wants something mounted at: made, mounted on, unmounted, removed. */
export class MountTarget {
  readonly path: string;
  readonly #field: string;
  readonly #directories: Directories;
  #directory: Fd | undefined;
  #mountId: number | undefined;
  #missing: readonly string[] | undefined;

  /** `path` in normal form (hostPath). */
  constructor(path: string, field: string, directories: Directories) {
    this.path = path;
    this.#field = field;
    this.#directories = directories;
  }

  /** The directory itself, empty: what a mount would hide must not exist. */
  makeStep(mode: number): Step {
    return {
      name: `make the directory ${this.path}`,
      run: (scope) => {
        const directory = this.#directories.make(this.path, this.#field, mode);
        this.#directory = scope.use(directory);
        if (isEmptyDirectory(directory)) return;
        throw badValue(this.#field, this.path, 'is not empty');
      },
      undo: () => this.#directories.remove(this.path),
      memory: () => {
        this.#missing ??= this.#directories.missing(this.path);
        return { missing: this.#missing };
      },
      recall: (memory) => this.#directories.adopt((memory as { missing: string[] }).missing),
    };
  }

  /** A step that mounts something here. */
  mountStep(name: string, mount: (scope: DisposableStack) => Promise<void>): Step {
    return {
      name,
      run: mount,
      undo: () => this.#unmount(),
      memory: () =>
        this.#mountId === undefined ? { before: mountsAt(this.path) } : { id: this.#mountId },
      recall: (memory) => {
        const { id, before = [] } = memory as { id?: number; before?: number[] };
        this.#mountId = id ?? mountsAt(this.path).find((each) => !before.includes(each));
      },
    };
  }

  /** Puts a detached mount here. */
  attach(mount: Fd): void {
    // Nothing may fail once it is attached.
    const id = mountIdOf(mount);
    attachMount(mount, this.#opened());
    this.#mountId = id;
  }

  /** mount(2) on the opened directory. */
  async mountByPath(options: {
    source: string;
    type: string;
    readOnly: boolean;
    data: string;
  }): Promise<void> {
    await mountByPath({ ...options, target: fdPath(this.#opened()) });
    try {
      this.#mountId = mountsAt(this.path).at(-1);
    } catch (error) {
      await inParentAsync(this.path, unmountPath);
      throw error;
    }
  }

  #opened(): Fd {
    if (this.#directory === undefined) throw new Error(`${this.path} was not made`);
    return this.#directory;
  }

  async #unmount(): Promise<void> {
    const stack = mountsAt(this.path);
    // Somebody in the VM has unmounted it: what is to be reached is reached.
    if (this.#mountId === undefined || !stack.includes(this.#mountId)) return;
    if (stack.at(-1) !== this.#mountId) {
      throw new AgentError('failed', `${this.path}: another mount lies over it`, {
        operation: 'unmount',
        errno: 'EBUSY',
      });
    }
    try {
      await inParentAsync(this.path, unmountPath);
    } catch (error) {
      if (!hasCode(error, 'EBUSY')) throw error;
      throw new AgentError('failed', `${this.path} is in use: EBUSY`, {
        operation: 'unmount',
        errno: 'EBUSY',
        cause: error,
      });
    }
    this.#mountId = undefined;
    this.#directories.forgetBelow(this.path);
  }
}
