import { accessSync, constants, statSync } from 'node:fs';
import { basename, delimiter, join, resolve } from 'node:path';
import { RuntimeError } from '../runtime.ts';

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // Not there or not ours to run: the next directory may have it.
  }
}

/**
 * The OCI runtime's program. A name is looked up in PATH once and then kept: looking through PATH
 * again for each command costs system calls on the hot path.
 */
export class RuntimeProgram {
  /** As it was asked for: a name or a path. */
  readonly name: string;
  #path: string | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** The last component, as error texts show it. */
  get shortName(): string {
    return basename(this.name);
  }

  /** Absolute path. Throws RuntimeError 'unavailable' naming the remedy. */
  path(operation: string): string {
    this.#path ??= this.#find(operation);
    return this.#path;
  }

  /** Forgets the path: the program was moved or replaced. */
  forget(): void {
    this.#path = undefined;
  }

  #find(operation: string): string {
    if (this.name.includes('/')) {
      const path = resolve(this.name);
      if (isExecutable(path)) return path;
      throw this.unavailable(operation, `${path} is not an executable file`);
    }
    const searchPath = process.env.PATH ?? '';
    for (const directory of searchPath.split(delimiter)) {
      const path = join(resolve(directory), this.name);
      if (isExecutable(path)) return path;
    }
    throw this.unavailable(operation, `not found in PATH (${searchPath})`);
  }

  unavailable(operation: string, reason: string, cause?: unknown): RuntimeError {
    return new RuntimeError(
      'unavailable',
      `OCI runtime ${this.name} cannot be run: ${reason}; install it (Debian has packages of runc and crun) or name another one with -runtime`,
      { operation, cause },
    );
  }
}
