import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path/posix';
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
  undo(): Promise<void>;
}

/**
 * Writes a bundle: the directory (0700, with those above it), config.json (0600) and the planned
 * files (0644, for the container's users). Each file appears whole or not at all. On failure
 * everything is undone before the error is thrown; errors are Node's own.
 */
export async function writeBundle(
  bundle: string,
  spec: OciSpec,
  files: readonly PlannedFile[] = [],
): Promise<WrittenBundle> {
  const written: string[] = [];
  const made: string[] = [];
  const undo = async (): Promise<void> => {
    for (const path of written) await removeIfPresent(unlink, path);
    for (const directory of made) await removeIfPresent(rmdir, directory);
  };
  try {
    await makeDirectories(bundle, made);
    const config = { path: join(bundle, 'config.json'), content: stringifyJson(spec) };
    await writeWhole(config, 0o600);
    written.push(config.path);
    for (const file of files) {
      await writeWhole(file, 0o644);
      written.push(file.path);
    }
  } catch (error) {
    await undo();
    throw error;
  }
  return { madeDirectory: made.length > 0, undo };
}

/** Makes a directory and those above it; `made` gets the ones it made, deepest first, also when it fails on the way. */
async function makeDirectories(directory: string, made: string[]): Promise<void> {
  try {
    await mkdir(directory, 0o700);
    made.unshift(directory);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return;
    if (!hasCode(error, 'ENOENT') || directory === dirname(directory)) throw error;
    await makeDirectories(dirname(directory), made);
    await makeDirectories(directory, made);
  }
}

/** Writes beside the target and renames, so that nobody reads half a file and no link or fifo placed under the name is written through. */
async function writeWhole({ path, content }: PlannedFile, mode: number): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  try {
    await writeNew(temporary, content, mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeNew(path: string, content: string, mode: number): Promise<void> {
  await using file = await open(path, 'wx', mode);
  await file.writeFile(content);
  // The umask took bits off the mode given above.
  await file.chmod(mode);
}

async function removeIfPresent(
  remove: (path: string) => Promise<void>,
  path: string,
): Promise<void> {
  try {
    await remove(path);
  } catch (error) {
    // Gone already, or in use by somebody else: neither is ours to undo.
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].some((code) => hasCode(error, code))) throw error;
  }
}
