/**
 * Builds the virtual machine's kernel, initramfs and root image from Debian packages, native/init and
 * what `npm run build` made, into build/vm/ARCHITECTURE/.
 *
 *   node vm-image/build.ts [--arch amd64|arm64] [--update] [--force]
 *
 * --update takes the release's present packages instead of those of the last build; --force builds
 * although nothing changed.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildInit } from '../scripts/build-init.ts';
import { buildNative } from '../scripts/build-native.ts';
import { ARCHITECTURES, type Architecture, isOwn, ownArchitecture } from './architectures.ts';
import { KERNEL_METAPACKAGE, LIBRARY_PACKAGES, MODULES, MUSL, PROGRAMS } from './contents.ts';
import { DebianArchive, type DebianPackage } from './debian.ts';
import { findInputs, fingerprint, type Inputs } from './inputs.ts';
import { uncompressedKernel } from './kernel.ts';
import { runUnderLock } from './lock.ts';
import { manifestEntry } from './manifest.ts';
import { ModuleTree } from './modules.ts';
import { nodeBinary } from './node-binary.ts';
import { mebibytes, packErofs, packInitramfs } from './pack.ts';
import { Progress } from './progress.ts';
import { ARCHITECTURE_MODULES, buildRoot, moduleList } from './root.ts';
import { Tree } from './tree.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Bytes on the root image's disk; what does not fit does not belong there. */
const ROOT_LIMIT = 80 * 1024 ** 2;

/** For a machine of QEMU with a virtio disk; other hypervisors: see README.md. */
function defaultCommandLine({ console }: Architecture): string {
  return `console=${console} quiet panic=-1 gcs.root=/dev/vda:erofs`;
}

interface Build {
  readonly architecture: Architecture;
  readonly inputs: Inputs;
  readonly nodeVersion: string;
  readonly packages: readonly DebianPackage[];
  readonly archive: DebianArchive;
  readonly output: string;
  readonly progress: Progress;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      arch: { type: 'string', default: ownArchitecture().name },
      update: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
    },
  });
  if (!Object.hasOwn(ARCHITECTURES, values.arch)) {
    throw new Error(`--arch is one of ${Object.keys(ARCHITECTURES).join(', ')}`);
  }
  const architecture = ARCHITECTURES[values.arch as Architecture['name']];
  const code = runUnderLock(join(ROOT, `build/vm/${architecture.name}.lock`));
  if (code !== undefined) {
    process.exitCode = code;
    return;
  }
  const progress = new Progress();
  const output = join(ROOT, 'build/vm', architecture.name);
  const cache = join(ROOT, 'build/vm/cache', architecture.name);
  const archive = new DebianArchive(cache, architecture);
  const node = await nodeBinary(ROOT, cache, architecture);
  const names = [...Object.keys(PROGRAMS), ...LIBRARY_PACKAGES];
  // This machine's own is in musl-tools.
  if (!isOwn(architecture)) names.push(MUSL);
  const pinned = values.update ? undefined : usable(archive.pinned(), names);
  const packages =
    pinned ??
    (await progress.step(`fetching ${names.length + 1} packages`, () =>
      archive.fetch(KERNEL_METAPACKAGE + architecture.name, names),
    ));
  await compile(architecture, packages, archive, progress);
  const inputs = findInputs(ROOT, architecture, node.path);
  const stampFile = join(output, '.stamp');
  const stamp = await fingerprint(
    inputs,
    join(ROOT, 'vm-image'),
    node.version,
    JSON.stringify(packages),
  );
  const unchanged = existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp;
  if (unchanged && !values.force) {
    progress.finish(`build/vm/${architecture.name} is up to date`);
    return;
  }
  rmSync(stampFile, { force: true });
  const nodeVersion = node.version;
  await build({ architecture, inputs, nodeVersion, packages, archive, output, progress });
  writeFileSync(stampFile, stamp);
  progress.finish(`build/vm/${architecture.name} is complete`);
}

/** Init, and for another processor than this machine's what npm run build makes for this one. */
async function compile(
  architecture: Architecture,
  packages: readonly DebianPackage[],
  archive: DebianArchive,
  progress: Progress,
): Promise<void> {
  const note = (line: string): void => progress.note(line);
  const musl = packages.find((each) => each.name === MUSL);
  const sysroot = musl === undefined ? undefined : await archive.unpack(musl);
  if (!isOwn(architecture)) buildNative(note, architecture.node);
  buildInit(architecture.node, note, sysroot);
}

/** Pinned packages, unless the list has grown since. */
function usable(
  pinned: DebianPackage[] | undefined,
  names: readonly string[],
): DebianPackage[] | undefined {
  const have = new Set(pinned?.map((each) => each.name));
  return names.every((name) => have.has(name)) ? pinned : undefined;
}

async function build(job: Build): Promise<void> {
  const { architecture, archive, packages, progress, output, inputs } = job;
  const unpacked = new Map<string, string>();
  await progress.step('unpacking', async () => {
    for (const each of packages) unpacked.set(each.name, await archive.unpack(each));
  });
  const kernel = [...unpacked].find(([name]) => name.startsWith(KERNEL_METAPACKAGE))?.[1];
  if (kernel === undefined) throw new Error('no kernel among the packages');
  mkdirSync(output, { recursive: true });
  const modules = new ModuleTree(join(kernel, 'lib/modules'));
  const stage = (name: string): string => join(output, 'stage', name);

  await progress.step(`kernel ${modules.version}`, () => placeKernel(kernel, output));
  const root = new Tree(stage('root'));
  await progress.step('root tree', () =>
    buildRoot(root, { architecture, inputs, packages: unpacked, modules }),
  );
  await progress.step('root.erofs', () => {
    const packed = packErofs(root.root, join(output, 'root.erofs.new'));
    return packed.then(() => replace(output, 'root.erofs'));
  });
  await progress.step('initramfs.img', async () => {
    const boot = bootTree(stage('boot'), modules, inputs);
    await packInitramfs(boot.root, join(output, 'initramfs.img.new'), 19);
    replace(output, 'initramfs.img');
  });
  await progress.step('initramfs-full.img', async () => {
    root.link('/init', 'sbin/init');
    // Nothing has loaded the modules of buses and disks before.
    const all = [...MODULES.storage, ...MODULES.devices];
    moduleList(root, modules, modules.closure(all, ARCHITECTURE_MODULES));
    await packInitramfs(root.root, join(output, 'initramfs-full.img.new'), 9);
    replace(output, 'initramfs-full.img');
  });
  writeFileSync(join(output, 'cmdline'), `${defaultCommandLine(architecture)}\n`);
  writeManifest(job, unpacked, modules.version);
  report(output);
}

function replace(output: string, name: string): void {
  renameSync(join(output, `${name}.new`), join(output, name));
}

async function placeKernel(unpacked: string, output: string): Promise<void> {
  const boot = join(unpacked, 'boot');
  const name = readdirSync(boot).find((each) => each.startsWith('vmlinuz-'));
  if (name === undefined) throw new Error(`${boot} has no kernel`);
  const image = readFileSync(join(boot, name));
  writeFileSync(join(output, 'vmlinuz'), image);
  const elf = await uncompressedKernel(image);
  if (elf !== undefined) writeFileSync(join(output, 'vmlinux'), elf);
}

/** Init and the modules that lead to the root. */
function bootTree(path: string, modules: ModuleTree, inputs: Inputs): Tree {
  const tree = new Tree(path);
  for (const name of ['dev', 'newroot', 'proc', 'run', 'sys']) tree.directory(`/${name}`);
  tree.copy('/init', inputs.init, 0o755);
  const chosen = modules.closure(MODULES.storage, ARCHITECTURE_MODULES);
  for (const module of chosen) {
    tree.copy(
      `/lib/modules/${modules.version}/${module.path}`,
      join(modules.directory, module.path),
    );
  }
  moduleList(tree, modules, chosen);
  return tree;
}

function writeManifest(job: Build, unpacked: ReadonlyMap<string, string>, kernel: string): void {
  const { architecture, packages, nodeVersion, output } = job;
  const manifest = {
    architecture: architecture.name,
    kernel,
    node: { version: nodeVersion, licences: ['MIT and others: LICENSE of Node.js'] },
    packages: packages.map((each) => manifestEntry(each, unpacked.get(each.name) ?? '')),
  };
  writeFileSync(join(output, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

function report(output: string): void {
  for (const name of ['vmlinuz', 'vmlinux', 'initramfs.img', 'root.erofs', 'initramfs-full.img']) {
    const file = join(output, name);
    if (existsSync(file)) console.log(`  ${name.padEnd(20)}${mebibytes(file).padStart(11)}`);
  }
  const size = readFileSync(join(output, 'root.erofs')).length;
  if (size > ROOT_LIMIT) throw new Error(`root.erofs has ${size} bytes, more than ${ROOT_LIMIT}`);
}

try {
  await main();
} catch (error) {
  console.error(`vm-image: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
