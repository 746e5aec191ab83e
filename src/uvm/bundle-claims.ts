import { lstatSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import { isAtOrBelow } from '../storage/host-path.ts';

/** Why no directory can be there, by the code of a failed look. */
const NO_DIRECTORY: Readonly<Record<string, string>> = {
  ENOTDIR: 'is not a directory, or leads through what is none',
  ELOOP: 'leads in a circle of symbolic links',
  ENAMETOOLONG: 'is too long for a path',
};

/**
 * AgentError 'invalid-argument' unless there is a directory at the path, reached through no link, or
 * one can be made.
 */
function checkPlace(path: string, field: string): void {
  try {
    checkDirectory(path, field);
  } catch (error) {
    for (const [code, why] of Object.entries(NO_DIRECTORY)) {
      if (hasCode(error, code)) throw refusal(field, path, why);
    }
    throw error;
  }
}

function checkDirectory(path: string, field: string): void {
  let real: string;
  try {
    real = realpathSync.native(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || path === '/') throw error;
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
      throw refusal(field, path, 'is a symbolic link that leads nowhere');
    }
    checkDirectory(dirname(path), field);
    return;
  }
  if (real !== path) throw refusal(field, path, 'leads through a symbolic link');
  if (!statSync(real).isDirectory()) throw refusal(field, path, 'is not a directory');
}

function refusal(field: string, path: string, why: string): AgentError {
  return new AgentError('invalid-argument', `${field}: ${JSON.stringify(path)} ${why}`, {
    operation: 'create',
    field,
  });
}

/**
 * The bundles of all containers. A container's directories are removed with it, so none may be
 * the bundle of another or hold it; below a bundle is where hosts put the scratch of workloads.
 */
export class BundleClaims {
  readonly #owners = new Map<string, string>();

  /** Takes a bundle for a container; both paths in normal form (checkHostDirectory). */
  claim(id: string, bundle: string, scratch: string | undefined): void {
    checkPlace(bundle, 'OciBundlePath');
    this.#refuseOthers('OciBundlePath', bundle);
    if (scratch !== undefined) {
      checkPlace(scratch, 'ScratchDirPath');
      this.#refuseOthers('ScratchDirPath', scratch);
      if (scratch !== bundle && isAtOrBelow(bundle, scratch)) {
        throw refusal('ScratchDirPath', scratch, 'holds the bundle');
      }
    }
    this.#owners.set(bundle, id);
  }

  /** Gives back what a container has taken, if anything. */
  release(id: string): void {
    for (const [bundle, owner] of this.#owners) if (owner === id) this.#owners.delete(bundle);
  }

  #refuseOthers(field: string, place: string): void {
    for (const [bundle, owner] of this.#owners) {
      if (isAtOrBelow(bundle, place)) {
        throw refusal(field, place, `is or holds the bundle of container ${owner}`);
      }
    }
  }
}
