/** An image with everything layers can have, and gcsctl to run it in the VM of the tests. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestLayer } from './forms.ts';
import { applyLayer, listing, type TreeModel } from './model.ts';
import { type TarItem, tar } from './tar.ts';

const ROOT = join(import.meta.dirname, '../../..');
const SOURCE = join(import.meta.dirname, 'list-tree.c');

/** The layer every image of the tests begins with: a shell, and list-tree. */
export function baseLayer(directory: string): TarItem[] {
  const program = join(directory, 'list-tree');
  execFileSync('gcc', [
    '-D_GNU_SOURCE',
    '-O2',
    '-static',
    '-Wall',
    '-Wextra',
    '-o',
    program,
    SOURCE,
  ]);
  const busybox = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim();
  const applets = ['sh', 'cat', 'echo', 'env', 'id', 'pwd', 'ls', 'wc', 'sleep', 'touch', 'trap'];
  return [
    { path: 'bin', type: 'dir' },
    { path: 'bin/busybox', data: readFileSync(busybox), mode: 0o755 },
    { path: 'bin/list-tree', data: readFileSync(program), mode: 0o755 },
    ...applets.map((name): TarItem => ({ path: `bin/${name}`, type: 'symlink', link: 'busybox' })),
    { path: 'etc', type: 'dir' },
    { path: 'etc/passwd', data: 'root:x:0:0::/:/bin/sh\nweb:x:1001:1002::/:/bin/sh\n' },
    { path: 'etc/group', data: 'web:x:1002:\nextra:x:1003:web\n' },
  ];
}

/** Layers over the base, of which each changes what those before it have made. */
export function manyLayers(count: number): TarItem[][] {
  const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const long = `tree/${'directory with a long name '.repeat(6)}/${'n'.repeat(255)}`;
  const first: TarItem[] = [
    { path: './tree/', type: 'dir', mode: 0o1777, uid: 12, gid: 13, mtime: '1600000000.25' },
    { path: 'tree/empty' },
    { path: 'tree/file', data: binary, mode: 0o640, uid: 70_000, gid: 4_000_000_000 },
    { path: 'tree/large', data: Buffer.alloc(300_001, 'abc'), mtime: '-5.5' },
    { path: 'tree/setuid', data: 'x', mode: 0o6755, uid: 5 },
    { path: 'tree/hard', type: 'link', link: 'tree/file' },
    { path: 'tree/dir', type: 'dir', mode: 0o2750 },
    { path: 'tree/dir/other hard', type: 'link', link: './tree/file' },
    { path: 'tree/dir/gone', data: 'gone' },
    { path: 'tree/dir/kept', data: 'kept' },
    { path: 'tree/removed', type: 'dir' },
    { path: 'tree/removed/below', data: 'x' },
    { path: 'tree/opaque', type: 'dir' },
    { path: 'tree/opaque/old', data: 'old' },
    { path: 'tree/replaced', type: 'dir' },
    { path: 'tree/replaced/below', data: 'x' },
    { path: 'tree/link', type: 'symlink', link: '/etc/../no/such', mode: 0o644 },
    { path: 'tree/long link', type: 'symlink', link: 'l/'.repeat(1500) },
    { path: 'tree/null', type: 'char', major: 1, minor: 3, mode: 0o666 },
    { path: 'tree/disk', type: 'block', major: 259, minor: 70_000, mode: 0o600, gid: 6 },
    { path: 'tree/pipe', type: 'fifo', mode: 0o620 },
    { path: dirname(long), type: 'dir' },
    { path: long, data: 'long', gnu: false },
    { path: `${dirname(long)}/gnu ${'m'.repeat(120)}`, data: 'gnu', gnu: true },
    { path: 'tree/\xc3\xa4\xff\n', data: 'a name that is no text' },
    {
      path: 'tree/attributes',
      data: 'x'.repeat(5000),
      xattrs: {
        'user.binary': binary,
        'user.empty': Buffer.alloc(0),
        'user.large': Buffer.alloc(3000, 7),
        // cap_net_bind_service, as setcap(8) writes it.
        'security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex'),
      },
    },
    { path: 'tree/dir of attributes', type: 'dir', xattrs: { 'user.x': Buffer.from('1') } },
    { path: 'tree/many', type: 'dir' },
    ...Array.from(
      { length: 600 },
      (_, n): TarItem => ({ path: `tree/many/file number ${n}`, data: `${n}` }),
    ),
  ];
  const second: TarItem[] = [
    { path: 'tree', type: 'dir', mode: 0o755, mtime: '1600000001' },
    { path: 'tree/dir', type: 'dir', mode: 0o700, uid: 1, mtime: '1600000002.000000003' },
    { path: 'tree/dir/.wh.gone' },
    { path: 'tree/.wh.removed' },
    { path: 'tree/opaque', type: 'dir', mode: 0o711 },
    { path: 'tree/opaque/.wh..wh..opq' },
    { path: 'tree/opaque/new', data: 'new' },
    { path: 'tree/.wh.replaced' },
    { path: 'tree/replaced', data: 'a file now' },
    { path: 'tree/.wh.never there' },
  ];
  const third: TarItem[] = [
    { path: 'tree', type: 'dir' },
    { path: 'tree/.wh.removed' },
    { path: 'tree/removed', type: 'dir' },
    { path: 'tree/removed/again', data: 'again' },
    { path: 'tree/hard', data: 'no link any more' },
    { path: 'tree/opaque', type: 'dir' },
    { path: 'tree/opaque/.wh.new' },
    { path: 'tree/opaque/newer', data: 'newer' },
  ];
  const rest = Array.from({ length: count - 3 }, (_, n): TarItem[] => [
    // Some layers have no entries of the directories that theirs lie in.
    ...(n % 3 === 0 ? [] : [{ path: 'tree', type: 'dir' as const, mtime: `${1_600_000_100 + n}` }]),
    ...(n % 5 === 0 ? [{ path: `tree/dir of attributes/of layer ${n}` }] : []),
    ...(n === 4 ? [{ path: 'tree/dir/in an implied directory' }] : []),
    { path: `tree/layer ${n}`, data: `of layer ${n}` },
    { path: 'tree/always another', data: `${n}` },
    ...(n % 2 === 1 ? [{ path: `tree/.wh.layer ${n - 1}` }] : []),
  ]);
  return [first, second, third, ...rest];
}

/** The layers in turn plain, with gzip and with zstd. */
export function pack(layers: readonly TarItem[][]): TestLayer[] {
  const packings = ['none', 'gzip', 'zstd'] as const;
  return layers.map((items, index) => ({
    tar: tar(items),
    packing: packings[index % 3] ?? 'none',
  }));
}

/** What list-tree must print of /tree. */
export function expectedTree(layers: readonly TarItem[][]): string[] {
  const tree: TreeModel = new Map();
  for (const layer of layers) applyLayer(tree, layer);
  return listing(tree, 'tree');
}

export interface RunResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** gcsctl for the VM in this directory. */
export function startGcsctl(vm: string, ...args: string[]): ChildProcess {
  const [command = '', ...rest] = args;
  return spawn(join(ROOT, 'bin/gcsctl'), [command, '--vm', basename(vm), ...rest], {
    env: { ...process.env, GCSCTL_VM_DIR: dirname(vm) },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

export async function gcsctl(vm: string, ...args: string[]): Promise<RunResult> {
  const child = startGcsctl(vm, ...args);
  child.stdin?.end();
  return await ended(child);
}

export async function ended(child: ChildProcess): Promise<RunResult> {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('no streams');
  const [out, errors, [code]] = await Promise.all([
    text(stdout),
    text(stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { code, stdout: out, stderr: errors };
}
