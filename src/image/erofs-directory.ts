import { BLOCK } from './block-writer.ts';

export interface Dirent {
  /** One character a byte. */
  readonly name: string;
  /** See direntType(). */
  readonly type: number;
  /** Asked when the entry is written: places are not known before. */
  readonly nid: () => number;
}

const DIRENT_BYTES = 12;

/** Entries of a directory in blocks: each has its entries first, then their names, all in byte order. */
export class DirectoryBlocks {
  readonly #blocks: Dirent[][] = [];
  /** Of the last block what is used. */
  readonly size: number;

  /** `entries` with "." and "..". */
  constructor(entries: readonly Dirent[]) {
    let used = 0;
    let block: Dirent[] = [];
    // One character is one byte, so the order of strings is that of memcmp(3), as the kernel searches.
    for (const entry of [...entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const bytes = DIRENT_BYTES + entry.name.length;
      if (used + bytes > BLOCK) {
        this.#blocks.push(block);
        block = [];
        used = 0;
      }
      block.push(entry);
      used += bytes;
    }
    this.#blocks.push(block);
    this.size = (this.#blocks.length - 1) * BLOCK + used;
  }

  encode(): Buffer {
    const bytes = Buffer.alloc(this.size);
    for (const [index, block] of this.#blocks.entries()) {
      let at = index * BLOCK;
      let nameAt = block.length * DIRENT_BYTES;
      for (const { name, type, nid } of block) {
        bytes.writeBigUInt64LE(BigInt(nid()), at);
        bytes.writeUInt16LE(nameAt, at + 8);
        bytes.writeUInt8(type, at + 10);
        bytes.write(name, index * BLOCK + nameAt, 'latin1');
        at += DIRENT_BYTES;
        nameAt += name.length;
      }
    }
    return bytes;
  }
}
