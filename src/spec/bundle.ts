import {
  closeSync,
  existsSync,
  fchmodSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { AgentError } from '../errors.ts';
import { stringifyJson } from '../json.ts';
import { hasCode } from '../os/errors.ts';
import type { OciSpec } from './oci.ts';
import type { PlannedFile } from './plan.ts';

/** A bundle as it was written, and the way back. */
export interface WrittenBundle {
  /** True when the bundle directory was not there before. */
  readonly madeDirectory: boolean;
  /**
   * Removes what was written: the files, and the directories that were made and are empty again.
   * Content somebody else put there, and all directories that were there before, stay. A file
   * that was replaced is not brought back. May be called once.
   */
  undo(): void;
}

/**
 * Writes a bundle: the directory (0700, with those above it), config.json (0600) and the planned
 * files (0644, for the container's users). Each file appears whole or not at all. On failure
 * everything is undone before the error is thrown; errors are Node's own.
 *
 * A file that is there already is replaced only with `mayReplace`, in a directory that holds
 * nothing but containers. Anywhere else (a host may name /etc) it is AgentError
 * 'invalid-argument', and stays as it is.
 *
 * Synchronous: bundles lie on the guest's tmpfs, where each of these calls takes a few
 * microseconds and a trip through the thread pool, waking two threads, many times that.
 */
export function writeBundle(
  bundle: string,
  spec: OciSpec,
  files: readonly PlannedFile[] = [],
  options: { mayReplace?: boolean } = {},
): WrittenBundle {
  const written: string[] = [];
  const made: string[] = [];
  const undo = (): void => {
    for (const path of written) removeIfPresent(unlinkSync, path);
    for (const directory of made) removeIfPresent(rmdirSync, directory);
  };
  try {
    makeDirectories(bundle, made);
    // In a directory that was just made for root alone there is nothing to replace, and nobody to
    // read half a file.
    const write = options.mayReplace === true && !made.includes(bundle) ? replace : writeNew;
    const add = (file: PlannedFile, mode: number): void => {
      try {
        write(file, mode);
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error;
        throw new AgentError(
          'invalid-argument',
          `OciBundlePath: ${file.path} is there already and is not the agent's to replace`,
          { field: 'OciBundlePath', cause: error },
        );
      }
      written.push(file.path);
    };
    add({ path: join(bundle, 'config.json'), content: stringifyJson(spec) }, 0o600);
    for (const file of files) add(file, 0o644);
  } catch (error) {
    undo();
    throw error;
  }
  return { madeDirectory: made.length > 0, undo };
}

/** What writing a bundle adds to a file system. */
export interface BundleAdditions {
  readonly files: readonly string[];
  /** The deepest first. */
  readonly directories: readonly string[];
}

/** What {@link writeBundle} is about to add: all that its undo may remove should nobody be left to do so. */
export function bundleAdditions(
  bundle: string,
  files: readonly PlannedFile[],
  options: { mayReplace?: boolean },
): BundleAdditions {
  const directories: string[] = [];
  for (let path = bundle; !existsSync(path); path = dirname(path)) directories.push(path);
  const paths = [join(bundle, 'config.json'), ...files.map(({ path }) => path)];
  // What is there and may not be replaced makes the writing fail, and is somebody else's.
  const ours = (path: string): boolean =>
    directories.length > 0 || options.mayReplace === true || !existsSync(path);
  return { files: paths.filter(ours), directories };
}

/** Undoes the writing of a bundle by an agent that is no more; what is not there is no error. */
export function removeAdditions({ files, directories }: BundleAdditions): void {
  for (const path of files) removeIfPresent(unlinkSync, path);
  for (const directory of directories) removeIfPresent(rmdirSync, directory);
}

/** Makes a directory and those above it; `made` gets the ones it made, deepest first, also when it fails on the way. */
function makeDirectories(directory: string, made: string[]): void {
  try {
    mkdirSync(directory, 0o700);
    made.unshift(directory);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return;
    if (!hasCode(error, 'ENOENT') || directory === dirname(directory)) throw error;
    makeDirectories(dirname(directory), made);
    makeDirectories(directory, made);
  }
}

/** Writes beside the target and renames, so that nobody reads half a file and no link or fifo placed under the name is written through. */
function replace({ path, content }: PlannedFile, mode: number): void {
  // Need not be hard to guess: what has this name already is neither opened nor replaced.
  const temporary = `${path}.${Math.random().toString(36).slice(2)}`;
  writeNew({ path: temporary, content }, mode);
  try {
    renameSync(temporary, path);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  }
}

/** Writes a file that was not there; on failure it is not there again. */
function writeNew({ path, content }: PlannedFile, mode: number): void {
  const file = openSync(path, 'wx', mode);
  try {
    writeFileSync(file, content);
    // The umask took bits off the mode given above.
    fchmodSync(file, mode);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
}

function removeIfPresent(remove: (path: string) => void, path: string): void {
  try {
    remove(path);
  } catch (error) {
    // Gone already, or in use by somebody else: neither is ours to undo.
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].some((code) => hasCode(error, code))) throw error;
  }
}
