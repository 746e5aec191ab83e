import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Architecture } from './architectures.ts';

const ELF_MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

export function isElf(path: string): boolean {
  return readFileSync(path).subarray(0, 4).equals(ELF_MAGIC);
}

/** Sonames an ELF file names (DT_NEEDED); none for a static one. */
async function neededBy(path: string): Promise<string[]> {
  const { stdout } = await execa('readelf', ['--dynamic', '--wide', path], {
    env: { LC_ALL: 'C' },
  });
  return [...stdout.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map((match) => match[1] ?? '');
}

/**
 * Every shared library that the programs need, directly or not: soname to file. `roots` are
 * unpacked packages. Throws with the name of a library that no package has.
 */
export async function libraryClosure(
  programs: readonly string[],
  roots: readonly string[],
  { triplet }: Architecture,
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const queue = [...programs];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    for (const soname of await neededBy(path)) {
      if (found.has(soname)) continue;
      const file = locate(soname, roots, triplet);
      if (file === undefined) {
        throw new Error(`${path} needs ${soname}: no package of vm-image/contents.ts has it`);
      }
      found.set(soname, file);
      queue.push(file);
    }
  }
  return found;
}

function locate(soname: string, roots: readonly string[], triplet: string): string | undefined {
  for (const root of roots) {
    for (const directory of [`lib/${triplet}`, `usr/lib/${triplet}`, 'lib', 'lib64']) {
      const path = join(root, directory, soname);
      if (existsSync(path)) return realpathSync(path);
    }
  }
  return undefined;
}
