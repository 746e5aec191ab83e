import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { check, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { noNul } from './text.ts';

// fsconfig(2)
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_FD = 5;
// fsmount(2)
const MOUNT_ATTR_RDONLY = 1;
// mount(2)
const MS_RDONLY = 1;
const PROPAGATION = {
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  unbindable: 1 << 17,
} as const;
// umount2(2)
const UMOUNT_NOFOLLOW = 8;
// open_tree(2)
const OPEN_TREE_CLONE = 1;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;

/** Longest text that mount(2) takes as data and fsconfig(2) as a parameter, in bytes. */
const mountLimits = { data: 4095, parameter: 255 } as const;

export type Propagation = keyof typeof PROPAGATION;

/**
 * A file system being configured: fsopen(2), fsconfig(2), fsmount(2). What the kernel has to say
 * about a failure (its "context log") is in the text of the OsError.
 */
export class FsContext implements Disposable {
  readonly #type: string;
  readonly #fd: Fd;

  /** Throws OsError ENODEV when the kernel does not know the file system. */
  constructor(type: string) {
    noNul('fsopen', type);
    this.#type = type;
    this.#fd = new Fd(check('fsopen', native().fsOpen(type), type));
  }

  setFlag(key: string): void {
    this.#set(FSCONFIG_SET_FLAG, key, null, 0);
  }

  /** At most 255 bytes. */
  setString(key: string, value: string): void {
    noNul('fsconfig', value, key);
    this.#set(FSCONFIG_SET_STRING, key, value, 0);
  }

  /** A file by its descriptor. */
  setFd(key: string, value: Fd): void {
    this.#set(FSCONFIG_SET_FD, key, null, value.raw);
  }

  /** Makes the superblock; reads the device, asks the server. Waits on another thread. */
  async create(): Promise<void> {
    const result = await native().fsCreate(this.#fd.raw);
    if (result < 0) this.#fail(-result, 'create');
  }

  /** A mount of the created superblock that is nowhere yet; it goes when it is closed unattached. */
  mount(options: { readOnly: boolean }): Fd {
    const result = native().fsMount(this.#fd.raw, options.readOnly ? MOUNT_ATTR_RDONLY : 0);
    return new Fd(check('fsmount', result, this.#type));
  }

  #set(command: number, key: string, value: string | null, aux: number): void {
    const result = native().fsConfig(this.#fd.raw, command, key, value, aux);
    if (result < 0) this.#fail(-result, value === null ? key : `${key}=${value}`);
  }

  #fail(errno: number, what: string): never {
    const messages = this.#messages();
    const said = messages.length === 0 ? '' : ` (${messages.join('; ')})`;
    throw new OsError('fsconfig', errno, `${this.#type} ${what}${said}`);
  }

  /** One message a read, each with its kind and a space before it; ENODATA when there are no more. */
  #messages(): string[] {
    const messages: string[] = [];
    const buffer = new Uint8Array(1024);
    for (;;) {
      const length = native().readBytes(this.#fd.raw, buffer);
      if (length <= 0) return messages;
      messages.push(Buffer.from(buffer.subarray(0, length)).toString('utf8').slice(2).trim());
    }
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** move_mount(2) of a detached mount onto a directory, both by descriptor. */
export function attachMount(mount: Fd, directory: Fd): void {
  check('move_mount', native().moveMount(mount.raw, directory.raw));
}

/** A bind mount of an open file or directory that is nowhere yet, open_tree(2); `recursive` with the mounts below it. */
export function cloneMount(source: Fd, options: { recursive?: boolean } = {}): Fd {
  const flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | (options.recursive === true ? AT_RECURSIVE : 0);
  return new Fd(check('open_tree', native().openTree(source.raw, '', flags)));
}

/** Sets the propagation type of an attached mount, `recursive` also of those below it; see mount_namespaces(7). */
export function setPropagation(mount: Fd, type: Propagation, recursive: boolean): void {
  const result = native().mountSetAttributes(mount.raw, recursive, 0, 0, PROPAGATION[type]);
  check('mount_setattr', result, type);
}

/** Makes a mount, attached or not, read-only; its file system stays as it is. */
export function setReadOnly(mount: Fd): void {
  const result = native().mountSetAttributes(mount.raw, false, MOUNT_ATTR_RDONLY, 0, 0);
  check('mount_setattr', result, 'read-only');
}

/** mount(2): for what fsconfig(2) cannot say. Waits on another thread. */
export async function mountByPath(options: {
  source: string;
  target: string;
  type: string;
  readOnly: boolean;
  data: string;
}): Promise<void> {
  const { source, target, type, readOnly, data } = options;
  for (const text of [source, target, type, data]) noNul('mount', text);
  if (Buffer.byteLength(data) > mountLimits.data) {
    throw new OsError('mount', constants.errno.E2BIG, `${type} options`);
  }
  const flags = readOnly ? MS_RDONLY : 0;
  check('mount', await native().mountOld(source, target, type, flags, data), `${type} ${target}`);
}

/** umount2(2), never through a link at the end of the path. Throws OsError: EBUSY in use, EINVAL no mount there. Waits on another thread. */
export async function unmountPath(target: string): Promise<void> {
  noNul('umount2', target);
  check('umount2', await native().unmount(target, UMOUNT_NOFOLLOW), target);
}

/** Number of the mount that an open file is on, as in proc_pid_mountinfo(5). */
export function mountIdOf(fd: Fd): number {
  const text = readFileSync(`/proc/self/fdinfo/${fd.raw}`, 'utf8');
  const match = /^mnt_id:\s*(\d+)$/m.exec(text);
  if (match?.[1] === undefined) throw new OsError('fdinfo', constants.errno.ENODATA, `${fd.raw}`);
  return Number(match[1]);
}
