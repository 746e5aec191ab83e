import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A directory as an archive the kernel unpacks (cpio "newc", Documentation/driver-api/early-userspace/
 * buffer-format.rst), chunk by chunk: names sorted, everything root's, times 0, inodes numbered in order.
 */
export function* cpioArchive(root: string): Generator<Buffer> {
  let inode = 1;
  for (const name of walk(root, '')) {
    const path = join(root, name);
    const stat = lstatSync(path);
    let content = Buffer.alloc(0);
    if (stat.isSymbolicLink()) content = Buffer.from(readlinkSync(path));
    else if (stat.isFile()) content = readFileSync(path);
    yield* entry(name, stat.mode, inode++, content);
  }
  yield* entry('TRAILER!!!', 0, 0, Buffer.alloc(0));
}

function* walk(root: string, below: string): Generator<string> {
  for (const child of readdirSync(join(root, below), { withFileTypes: true }).sort(byName)) {
    const name = below === '' ? child.name : `${below}/${child.name}`;
    yield name;
    if (child.isDirectory()) yield* walk(root, name);
  }
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function* entry(name: string, mode: number, inode: number, content: Buffer): Generator<Buffer> {
  const links = name === 'TRAILER!!!' ? 1 : (mode & 0o170_000) === 0o040_000 ? 2 : 1;
  const nameSize = Buffer.byteLength(name) + 1;
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, nameSize, 0];
  const hex = fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0')).join('');
  yield padded(Buffer.from(`070701${hex}${name}\0`));
  if (content.length > 0) yield padded(content);
}

/** Header with name, and content, each end on a multiple of four; the header has 110 bytes. */
function padded(bytes: Buffer): Buffer {
  const missing = -bytes.length & 3;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
