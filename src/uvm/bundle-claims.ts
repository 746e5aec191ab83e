import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import { isAtOrBelow } from '../storage/host-path.ts';

/** The path without links, as far as it is there already. */
function withoutLinks(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || path === '/') throw error;
    return join(withoutLinks(dirname(path)), basename(path));
  }
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

  /** Takes a bundle for a container; both paths have been checked by themselves. */
  claim(id: string, bundle: string, scratch: string | undefined): void {
    const own = withoutLinks(bundle);
    this.#refuseOthers('OciBundlePath', own);
    if (scratch !== undefined) {
      const place = withoutLinks(scratch);
      this.#refuseOthers('ScratchDirPath', place);
      if (place !== own && isAtOrBelow(own, place)) {
        throw refusal('ScratchDirPath', scratch, 'holds the bundle');
      }
    }
    this.#owners.set(own, id);
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
