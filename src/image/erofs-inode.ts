import type { LayerNode, NodeType } from './layer-tree.ts';

/** Bytes of an extended inode, struct erofs_inode_extended of the kernel's fs/erofs/erofs_fs.h. */
export const INODE_BYTES = 64;
/** Inodes are found by number: this many bytes from the beginning of the metadata for each. */
export const SLOT_BYTES = 32;

const FILE_TYPE: Readonly<Record<NodeType, { readonly dirent: number; readonly mode: number }>> = {
  file: { dirent: 1, mode: 0o100000 },
  directory: { dirent: 2, mode: 0o040000 },
  character: { dirent: 3, mode: 0o020000 },
  block: { dirent: 4, mode: 0o060000 },
  fifo: { dirent: 5, mode: 0o010000 },
  symlink: { dirent: 7, mode: 0o120000 },
};

/** Of a directory's entry. */
export function direntType(type: NodeType): number {
  return FILE_TYPE[type].dirent;
}

export interface InodePlace {
  /** Inode number as programs see it. */
  readonly ino: number;
  readonly links: number;
  readonly size: number;
  readonly xattrBytes: number;
  /** First block of the content; undefined: it follows the inode and its attributes. */
  readonly block: number | undefined;
}

export function encodeInode(node: LayerNode, place: InodePlace): Buffer {
  const inode = Buffer.alloc(INODE_BYTES);
  // Bit 0: extended; from bit 1 the layout, 0 plain blocks, 2 behind the inode.
  inode.writeUInt16LE(place.block === undefined ? 1 | (2 << 1) : 1, 0);
  inode.writeUInt16LE(place.xattrBytes === 0 ? 0 : (place.xattrBytes - 12) / 4 + 1, 2);
  inode.writeUInt16LE(FILE_TYPE[node.type].mode | node.mode, 4);
  inode.writeBigUInt64LE(BigInt(place.size), 8);
  inode.writeUInt32LE(isDevice(node) ? deviceNumber(node) : (place.block ?? 0), 16);
  inode.writeUInt32LE(place.ino, 20);
  inode.writeUInt32LE(node.uid, 24);
  inode.writeUInt32LE(node.gid, 28);
  inode.writeBigUInt64LE(BigInt.asUintN(64, BigInt(node.mtime)), 32);
  inode.writeUInt32LE(node.mtimeNs, 40);
  inode.writeUInt32LE(place.links, 44);
  return inode;
}

function isDevice({ type }: LayerNode): boolean {
  return type === 'character' || type === 'block';
}

/** new_encode_dev() of the kernel's include/linux/kdev_t.h. */
function deviceNumber({ major, minor }: LayerNode): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** Prefixes that have a number of their own; fs/erofs/erofs_fs.h, "xattr name indexes". */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ['user.', 1],
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['trusted.', 4],
  ['security.', 6],
];

/** Attributes as they follow an inode; empty when there are none. Undefined for a name no prefix fits. */
export function encodeXattrs(xattrs: ReadonlyMap<string, Buffer>): Buffer | undefined {
  if (xattrs.size === 0) return Buffer.alloc(0);
  const parts: Buffer[] = [Buffer.alloc(12)];
  // In one order, whatever that of the archive: what is the same gives the same bytes.
  for (const [name, value] of [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [prefix, index] = PREFIXES.find(([each]) => name.startsWith(each)) ?? [];
    if (prefix === undefined || index === undefined) return undefined;
    const rest = Buffer.from(name.slice(prefix.length), 'latin1');
    const size = 4 + rest.length + value.length;
    const entry = Buffer.alloc(Math.ceil(size / 4) * 4);
    entry.writeUInt8(rest.length, 0);
    entry.writeUInt8(index, 1);
    entry.writeUInt16LE(value.length, 2);
    rest.copy(entry, 4);
    value.copy(entry, 4 + rest.length);
    parts.push(entry);
  }
  return Buffer.concat(parts);
}

/** The reverse of encodeXattrs(). */
export function decodeXattrs(bytes: Buffer): Map<string, Buffer> {
  const xattrs = new Map<string, Buffer>();
  for (let at = 12; at < bytes.length; ) {
    const nameLength = bytes.readUInt8(at);
    const index = bytes.readUInt8(at + 1);
    const valueLength = bytes.readUInt16LE(at + 2);
    const [prefix = ''] = PREFIXES.find(([, each]) => each === index) ?? [];
    const value = at + 4 + nameLength;
    const name = prefix + bytes.toString('latin1', at + 4, value);
    xattrs.set(name, Buffer.from(bytes.subarray(value, value + valueLength)));
    at += Math.ceil((4 + nameLength + valueLength) / 4) * 4;
  }
  return xattrs;
}
