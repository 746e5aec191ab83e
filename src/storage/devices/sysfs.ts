import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { hasCode } from '../../os/errors.ts';

/** Entries of a directory, none when it does not exist (any more). */
export function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}

/** Text of an attribute without its line end; undefined when it or its device does not exist (any more). */
export function attribute(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch (error) {
    for (const code of ['ENOENT', 'ENODEV', 'ENXIO', 'ENOTDIR', 'EIO']) {
      if (hasCode(error, code)) return undefined;
    }
    throw error;
  }
}

/** The node of a block device by its directory in sysfs; undefined until it can be opened. */
export function nodeOf(directory: string, dev: string): string | undefined {
  const name = /^DEVNAME=(.+)$/m.exec(attribute(`${directory}/uevent`) ?? '')?.[1];
  if (name === undefined) return undefined;
  const path = `${dev}/${name}`;
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    return path;
  } catch (error) {
    // Announced, but not there yet, or gone already.
    for (const code of ['ENOENT', 'ENXIO', 'ENODEV', 'ENOMEDIUM']) {
      if (hasCode(error, code)) return undefined;
    }
    throw error;
  }
}

/** The directory of a partition of a disk, by number; 0 is the disk itself. */
export function partitionOf(directory: string, partition: number): string | undefined {
  if (partition === 0) return directory;
  const name = entriesOf(directory).find(
    (entry) => attribute(`${directory}/${entry}/partition`) === `${partition}`,
  );
  return name === undefined ? undefined : `${directory}/${name}`;
}
