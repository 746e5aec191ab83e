/** Block devices out of files. Loop devices are the machine's, so each goes whatever happens. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { place } from './private-mounts.ts';

let files = 0;

/** A file of this many zero bytes, which takes no memory. */
export function imageFile(size: number): string {
  const path = join(place(), `image${files++}`);
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

export class LoopDevice implements Disposable {
  readonly path: string;
  readonly #fd: number;

  constructor(file: string, options: { partitions?: boolean; readOnly?: boolean } = {}) {
    const flags = [
      ...(options.partitions === true ? ['--partscan'] : []),
      ...(options.readOnly === true ? ['--read-only'] : []),
    ];
    const attach = ['--find', '--show', ...flags, file];
    this.path = execFileSync('losetup', attach, { encoding: 'utf8' }).trim();
    this.#fd = openSync(this.path, 'r');
    // While it is open this only marks it: the kernel detaches it with its last user, also should
    // this process be killed.
    execFileSync('losetup', ['--detach', this.path]);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Runs a tool; throws with its output when it fails. */
export function tool(file: string, ...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
