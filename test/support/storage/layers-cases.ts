import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { O_DIRECTORY_PATH, openAt2 } from '../../../src/os/openat2.ts';
import { Directories } from '../../../src/storage/directories.ts';
import { MountTarget } from '../../../src/storage/mount-target.ts';
import { mountByNames } from '../../../src/storage/overlay.ts';
import type { StorageResource } from '../../../src/storage/resource.ts';
import { failure } from './failures.ts';
import { type Cases, place } from './private-mounts.ts';
import { cycleOften, failAfterEachStep, lab } from './resource-lab.ts';
import { trace } from './trace.ts';

type Layers = Extract<StorageResource, { kind: 'combined-layers' }>;

/** Directories with a file `name` (its number) and one of its own each; the topmost is the first. */
function makeLayers(count: number, name = (index: number) => `layer${index}`): string[] {
  return Array.from({ length: count }, (_, index) => {
    const path = join(place(), 'layers', name(index));
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'name'), `${index}`);
    writeFileSync(join(path, `own${index}`), `${index}`);
    return path;
  });
}

function combined(layers: readonly string[], more: Partial<Layers> = {}): Layers {
  return {
    kind: 'combined-layers',
    containerId: 'c1',
    rootPath: join(place(), 'run/c1/rootfs'),
    layers,
    scratchPath: join(place(), 'scratch/c1'),
    ...more,
  };
}

async function layersAndScratch(): Promise<void> {
  const layers = makeLayers(3);
  const before = trace();
  const resource = combined(layers);
  const resources = lab();
  await resources.add(resource);
  const root = resource.rootPath;
  assert.equal(readFileSync(join(root, 'name'), 'utf8'), '0');
  for (const index of [0, 1, 2]) {
    assert.equal(readFileSync(join(root, `own${index}`), 'utf8'), `${index}`);
  }
  writeFileSync(join(root, 'written'), 'kept');
  await resources.remove(resource);
  assert.equal(existsSync(join(place(), 'run')), false);
  assert.equal(readFileSync(join(resource.scratchPath, 'upper/written'), 'utf8'), 'kept');
  assert.deepEqual(trace().mounts, before.mounts);
  for (const [index, layer] of layers.entries()) {
    assert.deepEqual(readdirSync(layer).sort(), ['name', `own${index}`]);
  }
  // The scratch space is found again as it was.
  await resources.add(resource);
  assert.equal(readFileSync(join(root, 'written'), 'utf8'), 'kept');
  await resources.remove(resource);
}

async function manyLayers(): Promise<void> {
  // Names that together are far longer than the page an option string may have.
  const layers = makeLayers(128, (index) => `${'x'.repeat(200)}${index}`);
  const resource = combined(layers);
  const resources = lab();
  await resources.add(resource);
  const names = readdirSync(resource.rootPath).filter((name) => name.startsWith('own'));
  assert.equal(names.length, 128);
  await resources.remove(resource);

  const error = await failure(() => resources.add(combined([...layers, place()])));
  assert.equal(error.code, 'invalid-argument');
  assert.equal(error.field, 'Layers');
}

/** What kernels before 6.13 are given. */
async function manyLayersByName(): Promise<void> {
  const layers = makeLayers(128, (index) => `${'x'.repeat(200)}${index}`);
  const target = new MountTarget(join(place(), 'root'), 'ContainerRootPath', new Directories());
  using scope = new DisposableStack();
  const open = (path: string) =>
    scope.use(openAt2(null, path, { flags: O_DIRECTORY_PATH, resolve: [] }));
  const make = target.makeStep(0o755);
  await make.run(scope);
  for (const name of ['upper', 'work']) mkdirSync(join(place(), name));
  const writable = { upper: open(join(place(), 'upper')), work: open(join(place(), 'work')) };
  const mount = target.mountStep('mount', () => mountByNames(target, layers.map(open), writable));
  await mount.run(scope);
  const names = readdirSync(target.path).filter((name) => name.startsWith('own'));
  assert.equal(names.length, 128);
  writeFileSync(join(target.path, 'new'), '');
  assert.equal(existsSync(join(place(), 'upper/new')), true);
  await mount.undo?.();
  await make.undo?.();
  assert.equal(existsSync(target.path), false);
}

async function oddNames(): Promise<void> {
  const odd = ['a:b', 'a,b', 'a\\:b', 'a b', 'a\nb', 'ü'];
  const layers = makeLayers(odd.length, (index) => odd[index] ?? '');
  const resource = combined(layers, {
    rootPath: join(place(), 'run/a:b,c\\ d\ne/rootfs'),
    scratchPath: join(place(), 'scratch/a:b,c'),
  });
  const resources = lab();
  await resources.add(resource);
  const names = readdirSync(resource.rootPath).filter((name) => name.startsWith('own'));
  assert.equal(names.length, odd.length);
  await resources.remove(resource);
  assert.equal(existsSync(join(place(), 'run')), false);
}

async function readOnly(): Promise<void> {
  for (const count of [1, 2, 5]) {
    const resource = combined(makeLayers(count), { scratchPath: '' });
    const resources = lab();
    await resources.add(resource);
    assert.equal(readFileSync(join(resource.rootPath, `own${count - 1}`), 'utf8'), `${count - 1}`);
    assert.throws(() => writeFileSync(join(resource.rootPath, 'x'), ''), { code: 'EROFS' });
    await resources.remove(resource);
    assert.equal(existsSync(join(place(), 'run')), false);
  }
}

async function faults(): Promise<void> {
  const layers = makeLayers(3);
  const steps = await failAfterEachStep(combined(layers));
  assert.equal(steps.length, 5);
  assert.equal((await failAfterEachStep(combined(layers, { scratchPath: '' }))).length, 3);
  // A scratch directory that was there before stays, and so does what is in it.
  mkdirSync(join(place(), 'scratch/c1/upper'), { recursive: true });
  writeFileSync(join(place(), 'scratch/c1/upper/mine'), '');
  await failAfterEachStep(combined(layers));
}

async function hostilePaths(): Promise<void> {
  const [layer = ''] = makeLayers(1);
  symlinkSync(layer, join(place(), 'link'));
  mkdirSync(join(place(), 'full/inner'), { recursive: true });
  writeFileSync(join(place(), 'file'), '');
  const resources = lab();
  const before = trace();
  const link = join(place(), 'link');
  const values: [field: string, value: Partial<Layers>, why: RegExp][] = [];
  const bad: [string, RegExp][] = [
    [`${place()}/../x`, /'\.\.'/],
    [`${place()}/./x`, /'\.'/],
    ['relative/x', /absolute/],
    ['/', /root directory/],
    ['//', /root directory/],
    [`${place()}/a\0b`, /NUL/],
    [`${place()}/${'n'.repeat(256)}`, /255/],
    [`/${'n/'.repeat(3000)}`, /too long/],
    [`${link}/x`, /symbolic link/],
    [`${place()}/file/x`, /not a directory/],
  ];
  for (const [path, why] of bad) {
    values.push(['ContainerRootPath', { rootPath: path }, why]);
    values.push(['Layers[1].Path', { layers: [layer, path] }, why]);
    values.push(['ScratchPath', { scratchPath: path }, why]);
  }
  values.push(['ContainerRootPath', { rootPath: '' }, /missing/]);
  values.push(['ContainerRootPath', { rootPath: link }, /symbolic link/]);
  values.push(['ContainerRootPath', { rootPath: join(place(), 'full') }, /not empty/]);
  values.push(['Layers', { layers: [] }, /missing/]);
  values.push(['Layers', { layers: Array(300).fill(layer) }, /300/]);
  values.push(['Layers[0].Path', { layers: [''] }, /missing/]);
  values.push(['Layers[0].Path', { layers: [join(place(), 'none')] }, /does not exist/]);
  values.push(['Layers[0].Path', { layers: [join(place(), 'file')] }, /not a directory/]);
  values.push(['ScratchPath', { scratchPath: `${combined([]).rootPath}/s` }, /below/]);
  for (const [field, value, why] of values) {
    const error = await failure(() => resources.add(combined([layer], value)));
    assert.equal(error.code, 'invalid-argument', `${JSON.stringify(value)}: ${error.message}`);
    assert.equal(error.field, field);
    assert.match(error.message, why);
    assert.deepEqual(trace(), before, error.message);
  }
}

async function inUse(): Promise<void> {
  let container: string | undefined;
  const resources = lab({ containerAt: () => container });
  const below = combined(makeLayers(2), { containerId: 'below' });
  const above = combined([below.rootPath], {
    containerId: 'above',
    rootPath: join(place(), 'run/above'),
    scratchPath: join(place(), 'scratch/above'),
  });
  await resources.add(below);
  await resources.add(above);
  let error = await failure(() => resources.remove(below));
  assert.match(error.message, /in use by layers of above at .*run\/above/);
  error = await failure(() => resources.add(above));
  assert.match(error.message, /taken by layers of above/);
  await resources.remove(above);

  container = 'c9';
  error = await failure(() => resources.remove(below));
  assert.match(error.message, /in use by container c9/);
  container = undefined;

  // A use the registry knows nothing of.
  const held = openSync(join(below.rootPath, 'name'), 'r');
  error = await failure(() => resources.remove(below));
  assert.equal(error.errno, 'EBUSY');
  assert.equal(readFileSync(join(below.rootPath, 'name'), 'utf8'), '0');
  closeSync(held);
  await resources.remove(below);
  error = await failure(() => resources.remove(below));
  assert.match(error.message, /nothing of that kind was added there, or it was removed/);
}

async function foreignMounts(): Promise<void> {
  const resource = combined(makeLayers(2));
  const resources = lab();
  await resources.add(resource);
  const run = (...command: string[]) => {
    const [file = '', ...args] = command;
    assert.equal(spawnSync(file, args).status, 0);
  };
  run('mount', '-t', 'tmpfs', 'tmpfs', resource.rootPath);
  const error = await failure(() => resources.remove(resource));
  assert.match(error.message, /another mount lies over it/);
  run('umount', resource.rootPath);
  // Somebody was faster: there is nothing to unmount, and the rest is done.
  run('umount', resource.rootPath);
  await resources.remove(resource);
  assert.equal(existsSync(join(place(), 'run')), false);
}

/** A container's state is deleted with its scratch directory, and the layers may be removed after it. */
async function scratchGone(): Promise<void> {
  const resource = combined(makeLayers(2));
  const before = trace();
  const resources = lab();
  await resources.add(resource);
  writeFileSync(join(resource.rootPath, 'written'), '');
  rmSync(join(place(), 'scratch'), { recursive: true });
  await resources.remove(resource);
  assert.deepEqual(trace(), before);
}

/** The agent ends in the middle of it. */
async function endsWhileAdding(): Promise<void> {
  const resource = combined(makeLayers(2));
  const before = trace();
  const resources = lab();
  const adding = resources.add(resource);
  await resources.destroy();
  await adding;
  assert.deepEqual(trace(), before);
}

async function noSpace(): Promise<void> {
  const layers = makeLayers(2);
  const small = join(place(), 'small');
  mkdirSync(small);
  const options = 'size=64k,nr_inodes=2';
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', small]).status, 0);
  const before = trace();
  const error = await failure(() =>
    lab().add(combined(layers, { scratchPath: join(small, 'scratch') })),
  );
  assert.equal(error.errno, 'ENOSPC');
  assert.match(error.message, /no space left at .*small.* 0 of 2 inodes are free/);
  assert.deepEqual(trace(), before);
}

async function sameLayerTwice(): Promise<void> {
  const [layer = ''] = makeLayers(1);
  const before = trace();
  const error = await failure(() => lab().add(combined([layer, layer])));
  assert.match(error.message, /occurs twice/);
  assert.deepEqual(trace(), before);
}

async function manyCycles(): Promise<void> {
  await cycleOften(lab(), combined(makeLayers(4)));
}

async function addsAtOnce(): Promise<void> {
  const layers = makeLayers(2);
  const resources = lab();
  const before = trace();
  const all = Array.from({ length: 20 }, (_, index) =>
    combined(layers, {
      rootPath: join(place(), `run/c${index}/rootfs`),
      scratchPath: join(place(), `scratch/c${index}`),
    }),
  );
  await Promise.all(all.map((resource) => resources.add(resource)));
  const again = await Promise.allSettled(all.map((resource) => resources.add(resource)));
  assert.ok(again.every(({ status }) => status === 'rejected'));
  await Promise.all(all.map((resource) => resources.remove(resource)));
  assert.deepEqual(trace(), before);
}

export const cases: Cases = {
  'layers and scratch become one root, and the scratch outlives it': layersAndScratch,
  '128 layers with long names, and no more': manyLayers,
  '128 layers by name, for kernels that take no descriptors': manyLayersByName,
  'names with separators, spaces and line ends': oddNames,
  'without scratch the root is read-only': readOnly,
  'a failure after each step leaves nothing': faults,
  'hostile paths are refused by field and leave nothing': hostilePaths,
  'what is in use stays and says by whom': inUse,
  'mounts of others over it are not touched': foreignMounts,
  'layers are removed also when their scratch space has gone': scratchGone,
  'an add that is under way when all is removed is removed too': endsWhileAdding,
  'a full scratch space is explained': noSpace,
  'the same layer twice is explained': sameLayerTwice,
  'a thousand cycles leave nothing': manyCycles,
  'adds at the same time': addsAtOnce,
};
