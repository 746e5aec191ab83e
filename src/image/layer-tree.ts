import { ImageError } from './errors.ts';
import { imageLimits } from './limits.ts';
import type { TarEntry, TarType } from './tar-entry.ts';

export type NodeType = Exclude<TarType, 'hardlink'>;

/** Where a file's content lies; small ones are kept in memory until the image is laid out. */
export type Content =
  | { readonly kind: 'none' }
  | { readonly kind: 'inline'; readonly bytes: Buffer }
  | { readonly kind: 'blocks'; readonly block: number; readonly size: number };

/** What every inode has. */
export interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNs: number;
  xattrs: Map<string, Buffer>;
}

/** One inode of a layer. */
export interface LayerNode extends Attributes {
  type: NodeType;
  major: number;
  minor: number;
  content: Content;
  /** Of directories, by name. Names are bytes, one character each. Hard links are one node under several names. */
  children: Map<string, LayerNode>;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** Of AUFS's own bookkeeping, which says nothing of the tree. */
const AUFS = '.wh..wh.';
/** What overlayfs looks for; its documentation, "whiteouts and opaque directories". */
export const OPAQUE_XATTR = 'trusted.overlay.opaque';
const OVERLAY_XATTRS = /^(?:trusted|user)\.overlay\./;

const NAME_BYTES = 255;
const PATH_BYTES = 4095;
const MAX_ID = 0xffff_fffe;

function refused(name: string, why: string): ImageError {
  return new ImageError('refused', `layer: ${JSON.stringify(name.slice(0, 200))} ${why}`);
}

/**
 * The tree of one layer, from its tar entries in their order; OCI image specification, layer.md.
 * Whiteouts take overlayfs's form. Nothing of it touches the host's file system, so no name in
 * an archive can lead anywhere.
 */
export class LayerTree {
  readonly root = directory();
  /** Whiteouts meant for what lower layers have, also where this layer has the same name. */
  readonly #whiteouts: { parent: LayerNode; name: string }[] = [];
  /** Directories that no entry has told of, with their paths. */
  readonly #implied = new Map<LayerNode, string>();
  #entries = 0;
  /** Of names, links and attributes, which are kept in memory. */
  #bytes = 0;

  /** Adds an entry and its content, if it is a file. */
  add(entry: TarEntry, content: Content): void {
    this.#entries += 1;
    if (this.#entries > imageLimits.layerEntries) {
      throw refused(entry.name, `is one entry too many: at most ${imageLimits.layerEntries}`);
    }
    this.#bytes += entry.name.length + entry.linkName.length;
    for (const [name, value] of entry.xattrs) this.#bytes += name.length + value.length;
    if (this.#bytes > imageLimits.metadataBytes) {
      const most = imageLimits.metadataBytes;
      throw refused(
        entry.name,
        `is too much: names, links and attributes have at most ${most} bytes`,
      );
    }
    const path = splitPath(entry.name, entry.name);
    const name = path.pop();
    if (name === undefined) {
      // "./": the root of the container.
      if (entry.type === 'directory') assign(this.root, entry);
      return;
    }
    if (path.some((part) => part.startsWith(AUFS))) return;
    if (name.startsWith(AUFS) && name !== OPAQUE) return;
    const parent = this.#directory(path, entry.name);
    if (name === OPAQUE) parent.xattrs.set(OPAQUE_XATTR, Buffer.from('y'));
    else if (name.startsWith(WHITEOUT)) this.#whiteout(parent, name.slice(WHITEOUT.length), entry);
    else if (entry.type === 'hardlink') this.#link(parent, name, entry);
    else this.#put(parent, name, entry, content);
  }

  /** Paths of directories that have no entry of their own, once every entry was added. */
  implied(): string[] {
    return [...this.#implied].flatMap(([node, path]) => (this.find(path) === node ? [path] : []));
  }

  /** The tree when every entry was added. `inherited`: what implied directories are in lower layers. */
  finish(inherited: ReadonlyMap<string, Attributes> = new Map()): LayerNode {
    for (const path of this.implied()) {
      const node = this.find(path);
      const attributes = inherited.get(path);
      if (node === undefined || attributes === undefined) continue;
      const xattrs = new Map([...attributes.xattrs, ...node.xattrs]);
      Object.assign(node, { ...attributes, xattrs });
    }
    for (const { parent, name } of this.#whiteouts) {
      const own = parent.children.get(name);
      // What the layer has itself is there; only what lies below it is hidden.
      if (own?.type === 'directory') own.xattrs.set(OPAQUE_XATTR, Buffer.from('y'));
      else if (own === undefined) parent.children.set(name, whiteout());
    }
    return this.root;
  }

  /** What the layer has at a path, without following links; undefined for nothing. */
  find(path: string): LayerNode | undefined {
    let node: LayerNode | undefined = this.root;
    for (const name of path.split('/')) node = node?.children.get(name);
    return node;
  }

  /** Whether a directory of the root shows nothing of lower layers. */
  hides(name: string): boolean {
    const node = this.root.children.get(name);
    if (node !== undefined && node.type !== 'directory') return true;
    return node?.xattrs.has(OPAQUE_XATTR) === true || this.root.xattrs.has(OPAQUE_XATTR);
  }

  #whiteout(parent: LayerNode, name: string, { name: full }: TarEntry): void {
    if (name === '' || name === '.' || name === '..') throw refused(full, 'hides nothing');
    this.#whiteouts.push({ parent, name });
  }

  #link(parent: LayerNode, name: string, entry: TarEntry): void {
    const path = splitPath(entry.linkName, entry.name);
    let target: LayerNode | undefined = this.root;
    for (const part of path) target = target?.children.get(part);
    if (target === undefined || target.type === 'directory') {
      throw refused(entry.name, 'is a hard link to nothing in its layer');
    }
    parent.children.set(name, target);
  }

  #put(parent: LayerNode, name: string, entry: TarEntry, content: Content): void {
    const former = parent.children.get(name);
    if (former?.type === 'directory' && entry.type === 'directory') {
      this.#implied.delete(former);
      assign(former, entry);
      return;
    }
    const node = directory();
    node.type = entry.type === 'hardlink' ? 'file' : entry.type;
    assign(node, entry);
    node.content = content;
    if (entry.type === 'symlink') {
      if (entry.linkName === '' || entry.linkName.length > PATH_BYTES) {
        throw refused(entry.name, 'is a symbolic link of impossible length');
      }
      node.content = { kind: 'inline', bytes: Buffer.from(entry.linkName, 'latin1') };
    }
    parent.children.set(name, node);
  }

  /** The directory of that path; those no entry has told of yet are made as engines make them. */
  #directory(path: readonly string[], full: string): LayerNode {
    let node = this.root;
    for (const [index, name] of path.entries()) {
      let next = node.children.get(name);
      if (next === undefined) {
        next = directory();
        node.children.set(name, next);
        this.#implied.set(next, path.slice(0, index + 1).join('/'));
        if (this.#implied.size > imageLimits.impliedDirectories) {
          const most = imageLimits.impliedDirectories;
          throw refused(full, `is one directory without an entry too many: at most ${most}`);
        }
      }
      if (next.type !== 'directory') throw refused(full, `lies below "${name}", no directory`);
      node = next;
    }
    return node;
  }
}

function splitPath(path: string, full: string): string[] {
  if (path.length > PATH_BYTES) throw refused(full, 'is a path of more than 4095 bytes');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  for (const part of parts) {
    if (part === '..') throw refused(full, 'has ".." in its path');
    if (part.length > NAME_BYTES) throw refused(full, 'has a name of more than 255 bytes');
  }
  return parts;
}

function directory(): LayerNode {
  return {
    ...{ type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0, mtimeNs: 0 },
    ...{ major: 0, minor: 0, xattrs: new Map(), content: { kind: 'none' } },
    children: new Map(),
  };
}

function whiteout(): LayerNode {
  return { ...directory(), type: 'character', mode: 0 };
}

function assign(node: LayerNode, entry: TarEntry): void {
  for (const field of ['uid', 'gid'] as const) {
    const id = entry[field];
    if (id < 0 || id > MAX_ID) throw refused(entry.name, `has the impossible ${field} ${id}`);
    node[field] = id;
  }
  // Links have no mode of their own on Linux, whatever an archive says.
  node.mode = entry.type === 'symlink' ? 0o777 : entry.mode;
  node.mtime = entry.mtime;
  node.mtimeNs = entry.mtimeNs;
  if (entry.major > 0xfff || entry.minor > 0xf_ffff || entry.major < 0 || entry.minor < 0) {
    throw refused(entry.name, 'is a device with impossible numbers');
  }
  node.major = entry.major;
  node.minor = entry.minor;
  const opaque = node.xattrs.get(OPAQUE_XATTR);
  for (const name of entry.xattrs.keys()) {
    // They would have overlayfs show other files of the layers under this name.
    if (OVERLAY_XATTRS.test(name)) throw refused(entry.name, `has the attribute ${name}`);
  }
  node.xattrs = new Map(entry.xattrs);
  if (opaque !== undefined) node.xattrs.set(OPAQUE_XATTR, opaque);
}
