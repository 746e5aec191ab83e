/** What an Add may leave: mounts, directories, descriptors, mapped devices. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { place } from './private-mounts.ts';

function tree(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (lstatSync(path).isDirectory()) return [`${path}/`, ...tree(path)];
    return [path];
  });
}

/** Descriptors by what they are; those of the event loop come and go with the pool's threads. */
function descriptors(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        // The descriptor of the listing itself.
        return '';
      }
    })
    .filter((target) => target !== '' && !target.startsWith('/proc/'));
}

/** All of it, to be compared with deepEqual. */
export function trace(): Record<'mounts' | 'files' | 'descriptors' | 'mapped', string[]> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    // Without the numbers, which the kernel hands out anew.
    .map((line) => line.split(' ').slice(3).join(' '));
  return {
    mounts: mounts.sort(),
    files: tree(place()).sort(),
    descriptors: descriptors().sort(),
    mapped: readdirSync('/sys/block').filter((name) => name.startsWith('dm-')),
  };
}
