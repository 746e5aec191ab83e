/** What a container must see of an image, computed by what layer.md says and by nothing of src/. */
import type { TarItem } from './tar.ts';

interface Inode {
  readonly item: TarItem;
}

export type TreeModel = Map<string, Inode>;

/** The tree after one more layer. */
export function applyLayer(tree: TreeModel, items: readonly TarItem[]): void {
  const clean = (path: string): string => path.replace(/^\.?\/+/, '').replace(/\/+$/, '');
  for (const { path } of items) {
    const parts = clean(path).split('/');
    const name = parts.pop() ?? '';
    const parent = parts.join('/');
    if (name === '.wh..wh..opq') removeBelow(tree, parent);
    else if (name.startsWith('.wh.')) remove(tree, [...parts, name.slice(4)].join('/'));
  }
  for (const item of items) {
    const path = clean(item.path);
    if (path.split('/').at(-1)?.startsWith('.wh.')) continue;
    if (item.type === 'link') {
      const target = tree.get(clean(item.link ?? ''));
      if (target === undefined) throw new Error(`no target of ${path}`);
      tree.set(path, target);
      continue;
    }
    const former = tree.get(path);
    if (former !== undefined && (former.item.type !== 'dir' || item.type !== 'dir')) {
      remove(tree, path);
    }
    tree.set(path, { item });
  }
}

function remove(tree: TreeModel, path: string): void {
  tree.delete(path);
  removeBelow(tree, path);
}

function removeBelow(tree: TreeModel, path: string): void {
  for (const each of [...tree.keys()]) if (each.startsWith(`${path}/`)) tree.delete(each);
}

/** The lines that list-tree.c prints of what lies below `top`, sorted. */
export function listing(tree: TreeModel, top: string): string[] {
  const first = new Map<Inode, string>();
  const lines: string[] = [];
  const below = [...tree.keys()].filter((each) => each.startsWith(`${top}/`));
  // The order of a walk: a directory comes before its neighbours, with all that is in it.
  const walk = (path: string): string => path.replaceAll('/', '\0');
  for (const path of below.sort((a, b) => (walk(a) < walk(b) ? -1 : 1))) {
    const inode = tree.get(path);
    if (inode === undefined) continue;
    const known = first.get(inode);
    if (known === undefined) first.set(inode, path);
    const shown = escaped(path);
    lines.push(known === undefined ? line(shown, inode.item) : `${shown} = ${escaped(known)}`);
  }
  return lines.sort();
}

const LETTER = { file: 'f', link: '?', symlink: 'l', char: 'c', block: 'b', dir: 'd', fifo: 'p' };

function line(path: string, item: TarItem): string {
  const { type = 'file', uid = 0, gid = 0, mtime = '1700000000' } = item;
  const mode = type === 'symlink' ? 0o777 : (item.mode ?? (type === 'dir' ? 0o755 : 0o644));
  const xattrs = Object.entries(item.xattrs ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ` ${name}=${value.toString('hex')}`);
  const letter = LETTER[type];
  return `${path} ${letter} ${mode.toString(8)} ${uid}:${gid} ${timeOf(mtime)} ${detail(item)}${xattrs.join('')}`;
}

/** Seconds and nanoseconds as stat(2) gives them: the latter count forward. */
function timeOf(mtime: string): string {
  const [seconds = '', fraction = ''] = mtime.split('.');
  const nanoseconds = Number(fraction.padEnd(9, '0'));
  const shown = (value: number): string => String(value).padStart(9, '0');
  if (!mtime.startsWith('-') || nanoseconds === 0) return `${seconds}.${shown(nanoseconds)}`;
  return `${Number(seconds) - 1}.${shown(1e9 - nanoseconds)}`;
}

function detail({ type = 'file', data = '', link = '', major = 0, minor = 0 }: TarItem): string {
  if (type === 'symlink') return escaped(link);
  if (type === 'char' || type === 'block') return `${major}:${minor}`;
  if (type !== 'file') return '-';
  const bytes = Buffer.from(data as string, 'latin1');
  return `${bytes.length}:${fnv(bytes)}`;
}

/** FNV-1a of 32 bits. */
function fnv(bytes: Buffer): string {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash.toString(16);
}

function escaped(path: string): string {
  return path.replace(/[^!-[\]-~]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}
