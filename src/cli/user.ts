import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OciUser } from '../spec/oci.ts';
import { CliError, UsageError } from './exit-codes.ts';

/** The largest id the kernel takes; 4294967295 means "unchanged" to chown(2). */
const MAX_ID = 4294967294;

/**
 * "USER[:GROUP]" to numeric ids. Names are looked up in the root file system's own passwd(5) and
 * group(5), which must be readable from here.
 */
export function resolveUser(text: string, rootfs: string): OciUser {
  const [user = '', group, ...rest] = text.split(':');
  if (user === '' || group === '' || rest.length > 0) {
    throw new UsageError(`--user is USER or USER:GROUP, not "${text}"`);
  }
  const account = /^\d+$/.test(user)
    ? { uid: parseId(user), gid: primaryGroup(user, rootfs) }
    : namedUser(user, rootfs);
  if (group === undefined) return account;
  const gid = /^\d+$/.test(group) ? parseId(group) : namedGroup(group, rootfs);
  return { ...account, gid };
}

function parseId(text: string): number {
  const id = Number(text);
  if (id > MAX_ID) throw new UsageError(`--user: ${text} is no user or group id`);
  return id;
}

function namedUser(name: string, rootfs: string): { uid: number; gid: number } {
  const entry = database(rootfs, 'etc/passwd', name).find(([login]) => login === name);
  if (entry === undefined) throw new CliError(`no user "${name}" in ${rootfs}/etc/passwd`);
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

function namedGroup(name: string, rootfs: string): number {
  const entry = database(rootfs, 'etc/group', name).find(([group]) => group === name);
  if (entry === undefined) throw new CliError(`no group "${name}" in ${rootfs}/etc/group`);
  return Number(entry[2]);
}

function primaryGroup(uid: string, rootfs: string): number {
  try {
    const entry = database(rootfs, 'etc/passwd', uid).find((fields) => fields[2] === uid);
    return entry === undefined ? 0 : Number(entry[3]);
  } catch (error) {
    // A number needs no database: root file systems without /etc/passwd are usual.
    if (error instanceof CliError) return 0;
    throw error;
  }
}

function database(rootfs: string, file: string, wanted: string): string[][] {
  const path = join(rootfs, file);
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  } catch (cause) {
    throw new CliError(`cannot look up "${wanted}" in ${path}: give numbers, --user UID:GID`, {
      cause,
    });
  }
}
