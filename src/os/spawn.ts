import { constants } from 'node:os';
import { OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { inheritedFileLimit } from './file-limit.ts';
import { native } from './native.ts';
import type { SpawnOptions } from './process.ts';
import { noNul } from './text.ts';

const { errno } = constants;
const DEFAULT_SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEV_NULL = -1;

function checkTexts(options: SpawnOptions): void {
  const { file, args, env, cwd, searchPath, terminal } = options;
  if (args.length === 0) throw new OsError('execve', errno.EINVAL, `${file}: no argv[0]`);
  noNul('execve', file, 'program');
  args.forEach((argument, index) => {
    noNul('execve', argument, `argument ${index}`);
  });
  env.forEach((entry, index) => {
    noNul('execve', entry, `environment entry ${index}`);
  });
  if (searchPath !== undefined) noNul('execve', searchPath, 'search path');
  if (cwd !== undefined) noNul('chdir', cwd, 'working directory');
  if (terminal !== undefined) noNul('open', terminal, 'terminal');
}

/** Which part of it failed, numbered as in native/addon/process.c. */
function spawnError(step: number, number: number, options: SpawnOptions): OsError {
  switch (step) {
    case 1:
      return new OsError('chdir', number, options.cwd);
    case 2:
      return new OsError('open', number, '/dev/null');
    case 3:
      return new OsError('clone', number, options.file);
    case 4:
      return new OsError('open', number, options.terminal);
    case 5:
      return new OsError('dup2', number, options.file);
    default:
      return new OsError('execve', number, options.file);
  }
}

/**
 * Starts a program with every signal at its default and none blocked, with no descriptor but those
 * asked for and with the limit of open files that this process was started with. The caller owns
 * the pidfd and must collect the exit status.
 */
export function spawnProcess(options: SpawnOptions): { pid: number; pidfd: Fd } {
  checkTexts(options);
  const stdio = Int32Array.from(options.stdio, (fd) => {
    if (fd === null) return DEV_NULL;
    if (!Number.isInteger(fd) || fd < 0) throw new OsError('dup2', errno.EBADF, `${fd}`);
    return fd;
  });
  const out = new Int32Array(2);
  const pid = native().spawn(
    options.file,
    options.searchPath ?? process.env.PATH ?? DEFAULT_SEARCH_PATH,
    options.args,
    options.env,
    stdio,
    options.cwd,
    options.newSession ?? false,
    options.terminal,
    out,
    inheritedFileLimit() ?? -1,
  );
  const [pidfd = -1, step = 0] = out;
  if (pid < 0) throw spawnError(step, -pid, options);
  return { pid, pidfd: new Fd(pidfd) };
}
