import { type BigIntStats, constants } from 'node:fs';
import { lstat, open, opendir, readlink } from 'node:fs/promises';
import { basename, dirname, normalize } from 'node:path/posix';
import type { TarType } from '../../image/tar-entry.ts';
import { hasCode } from '../../os/errors.ts';
import type { Fd } from '../../os/fd.ts';
import { fdPath, openAt2 } from '../../os/openat2.ts';
import { ManagementError } from '../errors.ts';
import type { ContainerRoot } from './container-root.ts';
import type { Tally } from './tally.ts';
import { TAR_END, tarHeader, type WrittenEntry, zeros } from './tar-header.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
const CHUNK = 256 * 1024;
/** A path has at most 4096 bytes, so a deeper tree can only be one that is made deeper meanwhile. */
const DEPTH = 2048;

/**
 * A file or directory of a container as a tar archive whose names begin with its own. Links are
 * packed as links; what changes meanwhile is packed as it is found; sockets are left out.
 */
export async function* pack(
  root: ContainerRoot,
  path: string,
  tally: Tally,
): AsyncGenerator<Buffer> {
  // Without "..": the name is looked up in its directory by the file system, which knows no root.
  const absolute = normalize(`/${path}`);
  const name = basename(absolute);
  using parent = root.open(dirname(absolute), O_RDONLY | O_DIRECTORY);
  const packer = new Packer(tally);
  const top = name === '' ? '.' : name;
  const stats = await packer.look(parent, top);
  if (stats === undefined) throw new ManagementError('path-not-found', `${path}: no such file`);
  yield* packer.entry(parent, top, top, stats, 0);
  yield TAR_END;
}

class Packer {
  readonly #tally: Tally;
  /** First name of a file with several of them. */
  readonly #linked = new Map<string, string>();

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /** Undefined when it has gone. */
  async look(parent: Fd, name: string): Promise<BigIntStats | undefined> {
    try {
      return await lstat(`${fdPath(parent)}/${name}`, { bigint: true });
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async *entry(
    parent: Fd,
    name: string,
    inArchive: string,
    stats: BigIntStats,
    depth: number,
  ): AsyncGenerator<Buffer> {
    const type = typeOf(stats);
    if (type === undefined) return;
    if (depth > DEPTH) throw new ManagementError('limit', `${inArchive}: nested too deeply`);
    const header = headerOf(inArchive, type, stats);
    if (type === 'directory') yield* this.#directory(parent, name, header, depth);
    else if (type === 'file') yield* this.#file(parent, name, header, stats);
    else if (type === 'symlink') {
      const target = await readlink(`${fdPath(parent)}/${name}`);
      yield this.#header({ ...header, linkName: bytes(target) });
    } else yield this.#header(header);
  }

  async *#directory(
    parent: Fd,
    name: string,
    header: WrittenEntry,
    depth: number,
  ): AsyncGenerator<Buffer> {
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    using directory = openAt2(parent, name, { flags, resolve: ['no-symlinks', 'beneath'] });
    yield this.#header({ ...header, name: `${header.name}/` });
    const inside = text(header.name);
    for await (const { name: child } of await opendir(fdPath(directory))) {
      const stats = await this.look(directory, child);
      if (stats !== undefined) {
        yield* this.entry(directory, child, `${inside}/${child}`, stats, depth + 1);
      }
    }
  }

  async *#file(
    parent: Fd,
    name: string,
    header: WrittenEntry,
    stats: BigIntStats,
  ): AsyncGenerator<Buffer> {
    const key = `${stats.dev}:${stats.ino}`;
    const first = stats.nlink > 1n ? this.#linked.get(key) : undefined;
    if (first !== undefined) {
      yield this.#header({ ...header, type: 'hardlink', linkName: first, size: 0 });
      return;
    }
    if (stats.nlink > 1n) this.#linked.set(key, header.name);
    const path = `${fdPath(parent)}/${name}`;
    await using file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const now = await file.stat();
    // It may be another one by now, and then perhaps one whose reads have effects.
    if (!now.isFile()) throw new ManagementError('failed', `${text(header.name)} was replaced`);
    yield this.#header({ ...header, size: now.size });
    let left = now.size;
    while (left > 0) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, left));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      // Shorter than it was: its length is told already.
      const part = bytesRead === 0 ? buffer.fill(0) : buffer.subarray(0, bytesRead);
      left -= part.length;
      this.#tally.bytes += part.length;
      yield part;
    }
    yield zeros(now.size);
  }

  #header(entry: WrittenEntry): Buffer {
    this.#tally.entries += 1;
    return tarHeader(entry);
  }
}

function headerOf(name: string, type: TarType, stats: BigIntStats): WrittenEntry {
  const device = Number(stats.rdev);
  const isDevice = type === 'character' || type === 'block';
  return {
    name: bytes(name),
    type,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: 0,
    mtime: Number(stats.mtimeNs / 1_000_000_000n),
    mtimeNs: Math.max(0, Number(stats.mtimeNs % 1_000_000_000n)),
    linkName: '',
    // makedev(3): as far as ustar has room.
    major: isDevice ? (device >>> 8) & 0xfff : 0,
    minor: isDevice ? (device & 0xff) | ((device >>> 12) & 0xfff00) : 0,
  };
}

/** Undefined for a socket, which an archive has no type for. */
function typeOf(stats: BigIntStats): TarType | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isCharacterDevice()) return 'character';
  return stats.isBlockDevice() ? 'block' : undefined;
}

function bytes(name: string): string {
  return Buffer.from(name).toString('latin1');
}

function text(name: string): string {
  return Buffer.from(name, 'latin1').toString();
}
