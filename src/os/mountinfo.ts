import { readFileSync } from 'node:fs';

/** A mount as proc_pid_mountinfo(5) shows it. */
export interface MountInfo {
  readonly id: number;
  readonly parent: number;
  /** The directory of its file system that is its root. */
  readonly root: string;
  readonly path: string;
  /** "cgroup2", "fuse.sshfs". */
  readonly type: string;
  /** Of the file system, which all its mounts have in common. */
  readonly options: readonly string[];
}

/** The mounts of this process's namespace, in the order in which they were made. */
export function readMountInfo(): MountInfo[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'latin1'));
}

/** @param text in Latin-1, which keeps each byte apart: the escapes are undone before UTF-8 is decoded. */
export function parseMountInfo(text: string): MountInfo[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id, parent, , root = '', path = '', ...others] = line.split(' ');
      // The mount's own options and any number of optional fields come before.
      const [type = '', , options = ''] = others.slice(others.indexOf('-') + 1);
      return {
        id: Number(id),
        parent: Number(parent),
        root: pathOf(root),
        path: pathOf(path),
        type,
        options: options.split(','),
      };
    });
}

/** Neither an escape nor a byte of a longer character is in most paths, and there is a line for each container. */
const ENCODED = /[\\\x80-\xff]/;

/** Space, tab, newline and backslash are written as three octal digits. */
function pathOf(field: string): string {
  if (!ENCODED.test(field)) return field;
  const bytes = field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
