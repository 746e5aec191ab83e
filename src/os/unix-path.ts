import { constants as fsConstants } from 'node:fs';
import { basename, dirname } from 'node:path';
import { check } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { noNul } from './text.ts';

/** sun_path of unix(7) without the final NUL. */
const SUN_PATH_MAX = 107;
// open(2); Node's constants lack it.
const O_PATH = 0o10000000;

function openPath(path: string, flags: number): Fd {
  return new Fd(check('open', native().open(path, O_PATH | flags, 0), path));
}

function viaDescriptor<T>(fd: Fd, suffix: string, use: (address: string) => T): T {
  using held = fd;
  return use(`/proc/self/fd/${held.raw}${suffix}`);
}

/**
 * Calls `use` with a name of an existing socket that fits into a socket address: the path itself,
 * or for a longer one an O_PATH descriptor's entry in /proc/self/fd.
 */
export function withConnectAddress<T>(path: string, use: (address: string) => T): T {
  noNul('connect', path);
  if (Buffer.byteLength(path) <= SUN_PATH_MAX) return use(path);
  return viaDescriptor(openPath(path, 0), '', use);
}

/**
 * The same for a socket to be made: a long directory is reached through its descriptor. Only a file
 * name that is itself too long (over about 85 bytes) ends in ENAMETOOLONG.
 */
export function withBindAddress<T>(path: string, use: (address: string) => T): T {
  noNul('bind', path);
  if (Buffer.byteLength(path) <= SUN_PATH_MAX) return use(path);
  const directory = openPath(dirname(path), fsConstants.O_DIRECTORY);
  return viaDescriptor(directory, `/${basename(path)}`, use);
}
