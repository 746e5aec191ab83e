import { chmodSync, constants, fstatSync, mkdirSync, rmSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { basename, dirname } from 'node:path/posix';
import { hasCode, OsError } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { fdPath, openAt2 } from '../os/openat2.ts';
import { keepMade, type MadeDirectory, openConfined, removeMade } from '../spec/confined.ts';
import { invalid } from '../spec/fields.ts';
import type { PlannedLog } from '../spec/pod-log.ts';

export interface OpenLog {
  /** Undefined when only the directory is wanted; whoever has this owns it. */
  readonly file: Fd | undefined;
  /** The container exists: its log, begun or not, stays with the pod. */
  keep(): void;
  /** Takes back what was made and not kept, and a log directory that is the container's alone. */
  undo(): void;
}

/** What was made on the way to a log file. */
interface Made {
  readonly directories: MadeDirectory[];
  /** The file itself, by a directory that holds it. */
  file: { parent: Fd; name: string } | undefined;
}

/**
 * Makes the log directory where it is missing and opens the log file in it, to append. Containers
 * write to the directory: no link is followed, and nothing but a regular file is opened.
 * AgentError 'invalid-argument' names the annotation.
 */
export function openLog(log: PlannedLog): OpenLog {
  const made: Made = { directories: [], file: undefined };
  const madeRoot = makeRoot(log.directory);
  const undo = (): void => {
    takeBack(made);
    if (madeRoot) rmSync(log.directory, { recursive: true, force: true });
  };
  try {
    const file = log.path === undefined ? undefined : openFile(log, log.path, made);
    return { file, undo, keep: () => keep(made) };
  } catch (error) {
    undo();
    throw error;
  }
}

function keep(made: Made): void {
  made.file?.parent.close();
  made.file = undefined;
  keepMade(made.directories);
}

function takeBack(made: Made): void {
  if (made.file !== undefined) {
    const { parent, name } = made.file;
    rmSync(`${fdPath(parent)}/${name}`, { force: true });
    parent.close();
    made.file = undefined;
  }
  removeMade(made.directories);
}

function makeRoot(directory: string): boolean {
  try {
    mkdirSync(directory, 0o777);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
  chmodSync(directory, 0o777);
  return true;
}

function openFile({ directory, field }: PlannedLog, path: string, made: Made): Fd {
  const above = dirname(path) === '.' ? '' : dirname(path);
  using parent = openConfined(directory, above, { mode: 0o777, field, made: made.directories });
  const name = basename(path);
  try {
    return openAppending(parent, name, made);
  } catch (error) {
    const unusable = ['ELOOP', 'EISDIR', 'ENXIO', 'ENOTDIR', 'ENODEV'];
    if (!unusable.some((code) => hasCode(error, code))) throw error;
    throw invalid(field, 'names no file that can be written', error);
  }
}

const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants;
/** A fifo that nobody reads must not hold the agent up. */
const appending = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY;

function openAppending(parent: Fd, name: string, made: Made): Fd {
  const resolve = ['beneath', 'no-symlinks'] as const;
  try {
    const file = openAt2(parent, name, {
      flags: appending | O_CREAT | O_EXCL,
      mode: 0o644,
      resolve,
    });
    made.file = { parent: parent.dup(), name };
    return file;
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  const file = openAt2(parent, name, { flags: appending, resolve });
  if (fstatSync(file.raw).isFile()) return file;
  file.close();
  throw new OsError('open', osConstants.errno.ENODEV, name);
}
