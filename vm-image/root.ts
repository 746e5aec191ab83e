import { realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { execa } from 'execa';
import type { Architecture } from './architectures.ts';
import { EXCLUDED_APPLETS, MODULES, PROGRAMS } from './contents.ts';
import type { Inputs } from './inputs.ts';
import { isElf, libraryClosure } from './libraries.ts';
import { type KernelModule, type ModuleTree, modulesAlias, modulesDep } from './modules.ts';
import type { Tree } from './tree.ts';

/** Where the kernel mounts what it and init provide, and what is written to at run time. */
const MOUNT_POINTS = ['dev', 'mnt', 'proc', 'run', 'sys', 'tmp', 'root'];

const ETC: Readonly<Record<string, string>> = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
  group: 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost\n::1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
};

/** What the root of the image is made of. */
export interface RootParts {
  readonly architecture: Architecture;
  readonly inputs: Inputs;
  /** Unpacked packages, by name. */
  readonly packages: ReadonlyMap<string, string>;
  readonly modules: ModuleTree;
}

/** Fills `tree` with the whole guest. */
export async function buildRoot(tree: Tree, parts: RootParts): Promise<void> {
  skeleton(tree);
  const programs = await placePrograms(tree, parts);
  await placeNode(tree, parts);
  placeAgent(tree, parts.inputs);
  const elf = [...programs, parts.inputs.node, parts.inputs.addon].filter(isElf);
  await placeLibraries(tree, parts, elf);
  await placeApplets(tree);
  placeModules(tree, parts.modules, allModules(parts.modules));
  moduleList(tree, parts.modules, parts.modules.closure(MODULES.devices, ARCHITECTURE_MODULES));
}

/** The usual directories, merged as Debian has them. */
function skeleton(tree: Tree): void {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    tree.directory(`/usr/${name}`);
    tree.link(`/${name}`, `usr/${name}`);
  }
  for (const name of MOUNT_POINTS) tree.directory(`/${name}`, name === 'root' ? 0o700 : 0o755);
  for (const name of ['lib', 'log', 'cache']) tree.directory(`/var/${name}`);
  tree.link('/var/run', '../run');
  tree.link('/var/tmp', '../tmp');
  for (const [name, text] of Object.entries(ETC)) {
    tree.file(`/etc/${name}`, text);
  }
  tree.link('/etc/mtab', '../proc/self/mounts');
  // Written by whoever brings up the network; the root itself is read-only.
  tree.link('/etc/resolv.conf', '../run/resolv.conf');
}

/** In a merged tree /sbin/x is /usr/sbin/x. */
function merged(path: string): string {
  return /^\/(s?bin|lib(64)?)\//.test(path) ? `/usr${path}` : path;
}

async function placePrograms(tree: Tree, { packages, inputs }: RootParts): Promise<string[]> {
  const sources: string[] = [];
  for (const [name, paths] of Object.entries(PROGRAMS)) {
    const from = packages.get(name);
    if (from === undefined) throw new Error(`package ${name} was not fetched`);
    for (const path of paths) {
      const source = realpathSync(join(from, path));
      tree.copy(merged(path), source, 0o755);
      sources.push(source);
    }
  }
  tree.copy('/usr/sbin/init', inputs.init, 0o755);
  const e2fsprogs = packages.get('e2fsprogs');
  if (e2fsprogs !== undefined) tree.copy('/etc/mke2fs.conf', join(e2fsprogs, 'etc/mke2fs.conf'));
  return sources;
}

/** Node without its symbols: 15 MiB less to read. */
async function placeNode(tree: Tree, { inputs, architecture }: RootParts): Promise<void> {
  tree.copy('/opt/gcs/node', inputs.node, 0o755);
  const result = await execa(architecture.strip, [tree.at('/opt/gcs/node')], { reject: false });
  if (!result.failed) return;
  throw new Error(
    `${architecture.strip} failed (apt-get install binutils, or binutils-aarch64-linux-gnu): ${result.shortMessage}`,
  );
}

function placeAgent(tree: Tree, inputs: Inputs): void {
  tree.copy('/opt/gcs/bin/gcs', inputs.launcher, 0o755);
  for (const source of inputs.bundle) tree.copy(`/opt/gcs/build/${basename(source)}`, source);
  tree.copy('/opt/gcs/build/native/gcs_native.node', inputs.addon);
  tree.link('/usr/bin/gcs', '../../opt/gcs/bin/gcs');
  tree.link('/usr/bin/vsockexec', '../sbin/init');
}

async function placeLibraries(tree: Tree, parts: RootParts, elf: readonly string[]): Promise<void> {
  const { architecture, packages } = parts;
  const roots = [...packages.values()];
  for (const [soname, source] of await libraryClosure(elf, roots, architecture)) {
    // glibc's loader has a place of its own, by which programs name it.
    const isLoader = soname === basename(architecture.loader);
    const path = isLoader ? architecture.loader : `/lib/${architecture.triplet}/${soname}`;
    tree.copy(merged(path), source, 0o755);
  }
}

/** Programs of Debian come first; busybox fills the gaps. Its list is the same on every processor. */
async function placeApplets(tree: Tree): Promise<void> {
  const { stdout } = await execa('busybox', ['--list-full']);
  for (const path of stdout.split('\n')) {
    if (path === '' || EXCLUDED_APPLETS.has(basename(path))) continue;
    const target = merged(`/${path}`);
    const taken = ['bin', 'sbin'].some((each) => tree.has(`/usr/${each}/${basename(path)}`));
    if (!taken) tree.link(target, '/usr/bin/busybox');
  }
}

function allModules(modules: ModuleTree): KernelModule[] {
  const { storage, devices, onDemand } = MODULES;
  return modules.closure([...storage, ...devices, ...onDemand], ARCHITECTURE_MODULES);
}

/** Modules of one processor only. */
export const ARCHITECTURE_MODULES: ReadonlySet<string> = new Set([
  'crc32c-intel',
  'aesni-intel',
  'hv_storvsc',
  'hv_netvsc',
  'hv_sock',
  'hv_utils',
  'hv_balloon',
  'pci-hyperv',
  'nfit',
]);

function placeModules(tree: Tree, modules: ModuleTree, chosen: readonly KernelModule[]): void {
  const base = `/usr/lib/modules/${modules.version}`;
  for (const module of chosen) {
    tree.copy(`${base}/${module.path}`, join(modules.directory, module.path));
  }
  tree.copy(`${base}/modules.builtin`, join(modules.directory, 'modules.builtin'));
  tree.file(`${base}/modules.dep`, modulesDep(modules, chosen));
  tree.file(`${base}/modules.alias`, modulesAlias(chosen));
}

/** Modules for the devices of one kind of machine, which find none elsewhere. */
const ONE_MACHINE = /^(hv|pci_hyperv|nfit)/;

/** What init loads: /etc/gcs/modules, one path a line, in the order to load; "-": may find no device. */
export function moduleList(tree: Tree, modules: ModuleTree, chosen: readonly KernelModule[]): void {
  const line = ({ name, path }: KernelModule): string =>
    `${ONE_MACHINE.test(name) ? '-' : ''}/lib/modules/${modules.version}/${path}\n`;
  tree.file('/etc/gcs/modules', chosen.map(line).join(''));
}
