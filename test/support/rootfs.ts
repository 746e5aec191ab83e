import { execFileSync } from 'node:child_process';
import { chmodSync, constants, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A static busybox: the one program all test containers are made of (Debian: busybox-static). */
const busybox = '/usr/bin/busybox';

let applets: readonly string[] | undefined;

function appletNames(): readonly string[] {
  applets ??= execFileSync(busybox, ['--list'], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => name !== '' && name !== 'busybox');
  return applets;
}

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
tester:x:1000:1000:tester:/home/tester:/bin/sh
`;

const group = `root:x:0:
daemon:x:1:
audio:x:29:tester
tester:x:1000:
`;

/**
 * Makes `directory` (created with its parents) a root file system: busybox under /bin with a link
 * for each applet, /etc/passwd and /etc/group with a user `tester` (1000:1000, also in `audio`),
 * and the empty directories a container's mounts need. busybox is a copy, never a hard link: what
 * a container writes to its own /bin must not reach the machine's.
 */
export function makeRootfs(directory: string): string {
  for (const name of [
    'bin',
    'dev',
    'etc',
    'home/tester',
    'proc',
    'root',
    'sys',
    'tmp',
    'var/run',
  ]) {
    mkdirSync(join(directory, name), { recursive: true });
  }
  // A temporary directory is its maker's alone; the users of a container pass through "/".
  chmodSync(directory, 0o755);
  copyFileSync(busybox, join(directory, 'bin/busybox'), constants.COPYFILE_FICLONE);
  for (const applet of appletNames()) symlinkSync('busybox', join(directory, 'bin', applet));
  writeFileSync(join(directory, 'etc/passwd'), passwd);
  writeFileSync(join(directory, 'etc/group'), group);
  return directory;
}
