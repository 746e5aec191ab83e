import { type FileHandle, open } from 'node:fs/promises';
import { BLOCK } from './block-writer.ts';
import { decodeXattrs, INODE_BYTES, SLOT_BYTES } from './erofs-inode.ts';
import { type Attributes, OPAQUE_XATTR } from './layer-tree.ts';

const SUPERBLOCK_AT = 1024;
const FORMAT = 0o170000;
const DIRECTORY = 0o040000;

/** What a layer says of a directory; 'hidden': that lower layers have none there. */
export type Found = Attributes | 'hidden' | undefined;

interface Inode {
  readonly type: number;
  readonly attributes: Attributes;
  readonly size: number;
  /** Where the content begins on the disk. */
  readonly content: number;
}

/** Looks up directories on a disk that ErofsWriter wrote. */
export class ErofsReader implements AsyncDisposable {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(path: string): Promise<ErofsReader> {
    return new ErofsReader(await open(path, 'r'));
  }

  /** `path` without a slash at its ends; names are bytes, one character each. */
  async directory(path: string): Promise<Found> {
    const superblock = await this.#read(SUPERBLOCK_AT, 128);
    const meta = superblock.readUInt32LE(40) * BLOCK;
    let inode = await this.#inode(meta, superblock.readUInt16LE(14));
    for (const name of path.split('/')) {
      const nid = await this.#entry(inode, name);
      if (nid === undefined) {
        return inode.attributes.xattrs.has(OPAQUE_XATTR) ? 'hidden' : undefined;
      }
      inode = await this.#inode(meta, nid);
      if (inode.type !== DIRECTORY) return 'hidden';
    }
    return inode.attributes;
  }

  async #inode(meta: number, nid: number): Promise<Inode> {
    const at = meta + nid * SLOT_BYTES;
    const bytes = await this.#read(at, INODE_BYTES);
    const count = bytes.readUInt16LE(2);
    const xattrBytes = count === 0 ? 0 : 12 + 4 * (count - 1);
    const inline = ((bytes.readUInt16LE(0) >> 1) & 7) === 2;
    const mode = bytes.readUInt16LE(4);
    const behind = at + INODE_BYTES;
    return {
      type: mode & FORMAT,
      attributes: {
        mode: mode & ~FORMAT,
        uid: bytes.readUInt32LE(24),
        gid: bytes.readUInt32LE(28),
        mtime: Number(bytes.readBigInt64LE(32)),
        mtimeNs: bytes.readUInt32LE(40),
        xattrs: decodeXattrs(await this.#read(behind, xattrBytes)),
      },
      size: Number(bytes.readBigUInt64LE(8)),
      content: inline ? behind + xattrBytes : bytes.readUInt32LE(16) * BLOCK,
    };
  }

  async #entry({ content, size }: Inode, wanted: string): Promise<number | undefined> {
    for (let at = 0; at < size; at += BLOCK) {
      const block = await this.#read(content + at, Math.min(BLOCK, size - at));
      const first = block.readUInt16LE(8);
      for (let entry = 0; entry < first; entry += 12) {
        const start = block.readUInt16LE(entry + 8);
        const next = entry + 12 < first ? block.readUInt16LE(entry + 20) : block.length;
        const name = block.toString('latin1', start, next).replace(/\0+$/, '');
        if (name === wanted) return Number(block.readBigUInt64LE(entry));
      }
    }
    return undefined;
  }

  async #read(position: number, size: number): Promise<Buffer> {
    const bytes = Buffer.alloc(size);
    await this.#file.read(bytes, 0, size, position);
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
