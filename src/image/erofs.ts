import type { FileHandle } from 'node:fs/promises';
import { BLOCK, BlockWriter } from './block-writer.ts';
import { DirectoryBlocks, type Dirent } from './erofs-directory.ts';
import { direntType, encodeInode, encodeXattrs, INODE_BYTES, SLOT_BYTES } from './erofs-inode.ts';
import { ImageError } from './errors.ts';
import type { Content, LayerNode } from './layer-tree.ts';

/** Longer contents have blocks of their own; shorter ones lie behind their inode. */
const INLINE_BYTES = 2048;
/** Of all short contents together, for they are kept in memory; the rest gets blocks. */
const ALL_INLINE_BYTES = 256 * 1024 * 1024;
const SUPERBLOCK_AT = 1024;
const SUPERBLOCK_BYTES = 128;
const MAGIC = 0xe0f5e1e2;
const MAX_BLOCKS = 0xffff_ffff;

/** An inode's place and encoding. */
interface Plan {
  readonly node: LayerNode;
  readonly ino: number;
  readonly xattrs: Buffer;
  readonly directory: DirectoryBlocks | undefined;
  readonly size: number;
  readonly inline: boolean;
  nid: number;
  links: number;
  block: number | undefined;
}

/**
 * Writes a read-only EROFS file system without compression, front to back: contents as they come, then
 * directories and inodes, and the superblock at last. The same entries in the same order give the
 * same bytes. Format: the kernel's Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.
 */
export class ErofsWriter {
  readonly #file: FileHandle;
  readonly #writer: BlockWriter;
  #inlineBytes = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
    this.#writer = new BlockWriter(file);
  }

  /** On an empty file, which stays the caller's. */
  static async begin(file: FileHandle): Promise<ErofsWriter> {
    const image = new ErofsWriter(file);
    // The superblock is written when everything else is known.
    await image.#writer.append(Buffer.alloc(BLOCK));
    return image;
  }

  /** Takes in the content of a file. */
  async addContent(size: number, content: AsyncIterable<Buffer>): Promise<Content> {
    if (size === 0) return { kind: 'none' };
    if (size <= INLINE_BYTES && this.#inlineBytes + size <= ALL_INLINE_BYTES) {
      this.#inlineBytes += size;
      const parts: Buffer[] = [];
      for await (const part of content) parts.push(part);
      return { kind: 'inline', bytes: Buffer.concat(parts) };
    }
    const block = this.#writer.position / BLOCK;
    for await (const part of content) await this.#writer.append(part);
    await this.#writer.align(BLOCK);
    return { kind: 'blocks', block, size };
  }

  /** Writes the tree and ends the image. Returns its size in bytes, a multiple of 4096. */
  async finish(root: LayerNode): Promise<number> {
    const plans = planTree(root);
    const metadata = layOut(plans);
    for (const plan of plans) {
      if (plan.inline || plan.size === 0) continue;
      plan.block = await this.#blocksOf(plan);
    }
    const metaBlock = this.#writer.position / BLOCK;
    await this.#writeMetadata(plans, metadata);
    await this.#writer.align(BLOCK);
    await this.#writer.flush();
    const blocks = this.#writer.position / BLOCK;
    if (blocks > MAX_BLOCKS) throw new ImageError('refused', 'layer: it is too large for a disk');
    const rootPlan = plans[0];
    if (rootPlan === undefined) throw new Error('no root');
    const superblock = encodeSuperblock(metaBlock, blocks, rootPlan.nid, plans.length);
    await this.#file.write(superblock, 0, SUPERBLOCK_BYTES, SUPERBLOCK_AT);
    return blocks * BLOCK;
  }

  async #blocksOf(plan: Plan): Promise<number> {
    const { content } = plan.node;
    if (content.kind === 'blocks') return content.block;
    const block = this.#writer.position / BLOCK;
    await this.#writer.append(contentBytes(plan));
    await this.#writer.align(BLOCK);
    return block;
  }

  async #writeMetadata(plans: readonly Plan[], bytes: number): Promise<void> {
    const start = this.#writer.position;
    for (const plan of plans) {
      const { node, ino, size, xattrs, inline, links } = plan;
      const gap = start + plan.nid * SLOT_BYTES - this.#writer.position;
      if (gap > 0) await this.#writer.append(Buffer.alloc(gap));
      const block = inline ? undefined : (plan.block ?? 0);
      const place = { ino, size, links, block, xattrBytes: xattrs.length };
      await this.#writer.append(encodeInode(node, place));
      await this.#writer.append(xattrs);
      if (inline) await this.#writer.append(contentBytes(plan));
    }
    if (this.#writer.position > start + bytes)
      throw new Error('the metadata is longer than planned');
  }
}

function contentBytes({ node, directory }: Plan): Buffer {
  if (directory !== undefined) return directory.encode();
  if (node.content.kind === 'inline') return node.content.bytes;
  throw new Error('the content is not in memory');
}

/** Every inode once, the root first. */
function planTree(root: LayerNode): Plan[] {
  const plans = new Map<LayerNode, Plan>();
  const nidOf = (node: LayerNode): number => {
    const plan = plans.get(node);
    if (plan === undefined) throw new Error('an entry without its inode');
    return plan.nid;
  };
  const queue: { node: LayerNode; parent: LayerNode }[] = [{ node: root, parent: root }];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { node, parent } = next;
    const former = plans.get(node);
    if (former !== undefined) {
      former.links += 1;
      continue;
    }
    plans.set(
      node,
      planNode(node, plans.size + 1, () => nidOf(parent), nidOf),
    );
    for (const child of node.children.values()) queue.push({ node: child, parent: node });
  }
  return [...plans.values()];
}

function planNode(
  node: LayerNode,
  ino: number,
  parent: () => number,
  nidOf: (child: LayerNode) => number,
): Plan {
  const xattrs = encodeXattrs(node.xattrs);
  if (xattrs === undefined) {
    const names = [...node.xattrs.keys()].join(', ');
    throw new ImageError('unsupported', `layer: extended attributes of another kind: ${names}`);
  }
  let links = 1;
  let directory: DirectoryBlocks | undefined;
  if (node.type === 'directory') {
    const children = [...node.children].map(([name, child]): Dirent => {
      if (child.type === 'directory') links += 1;
      return { name, type: direntType(child.type), nid: () => nidOf(child) };
    });
    const type = direntType('directory');
    links += 1;
    directory = new DirectoryBlocks([
      { name: '.', type, nid: () => plan.nid },
      { name: '..', type, nid: parent },
      ...children,
    ]);
  }
  const size = directory?.size ?? contentSize(node.content);
  const inline = size > 0 && size <= INLINE_BYTES && fits(xattrs, size, node.content);
  const plan: Plan = {
    node,
    ino,
    xattrs,
    directory,
    size,
    inline,
    nid: 0,
    links,
    block: undefined,
  };
  return plan;
}

function contentSize(content: Content): number {
  if (content.kind === 'none') return 0;
  return content.kind === 'inline' ? content.bytes.length : content.size;
}

/** Inode, attributes and content must lie in one block for the kernel to take them so. */
function fits(xattrs: Buffer, size: number, content: Content): boolean {
  return content.kind !== 'blocks' && INODE_BYTES + xattrs.length + size <= BLOCK;
}

/** Gives each inode its place. Returns the bytes of all. */
function layOut(plans: readonly Plan[]): number {
  // Number 0 is no file's: readdir(3) may leave it out.
  let at = INODE_BYTES;
  for (const plan of plans) {
    const { xattrs, size, inline } = plan;
    const bytes = INODE_BYTES + xattrs.length + (inline ? size : 0);
    const left = BLOCK - (at % BLOCK);
    // Slots are aligned to the inode's size, so an inode alone never crosses a block.
    if (inline && bytes > left) at += left;
    plan.nid = at / SLOT_BYTES;
    at += Math.ceil(bytes / INODE_BYTES) * INODE_BYTES;
  }
  return at;
}

function encodeSuperblock(metaBlock: number, blocks: number, root: number, inodes: number): Buffer {
  const bytes = Buffer.alloc(SUPERBLOCK_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt8(Math.log2(BLOCK), 12);
  bytes.writeUInt16LE(root, 14);
  bytes.writeBigUInt64LE(BigInt(inodes), 16);
  bytes.writeUInt32LE(blocks, 36);
  bytes.writeUInt32LE(metaBlock, 40);
  return bytes;
}
