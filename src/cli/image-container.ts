import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import type { GuestClient } from '../client/guest.ts';
import { defaultSpec } from '../client/spec.ts';
import {
  type CachedLayer,
  defaultCache,
  type Image,
  inheriting,
  LayerCache,
  type MergedProcess,
  mergeProcess,
  openImage,
  parsePlatform,
  resolveImageUser,
} from '../image/index.ts';
import type { OciSpec } from '../spec/oci.ts';
import type { VmDirectory } from '../vm/directory.ts';
import type { containerOptions } from './container-options.ts';
import { type ContainerPlan, planContainer } from './container-plan.ts';
import { UsageError } from './exit-codes.ts';
import type { imageOptions } from './image-options.ts';
import { LayerProgress } from './image-progress.ts';
import { ImageRoot } from './image-root.ts';
import type { Io } from './io.ts';
import type { OptionValues } from './options.ts';
import { parseBytes, parseEnvironment } from './values.ts';
import { vmTarget } from './vm-target.ts';

type Values = OptionValues<typeof containerOptions> &
  OptionValues<typeof imageOptions> & { vm: string | undefined; rm: boolean };

/** Sparse: the host gives room for what is written. */
const DEFAULT_SCRATCH = '4g';

/** A container of an image, with all that is done on the host before the VM hears of it. */
export interface ImageContainer {
  readonly plan: ContainerPlan;
  /** Brings layers and scratch space into the VM as the container's root; disposing takes them away. */
  mount(guest: GuestClient, signal: AbortSignal): Promise<AsyncDisposable>;
}

/** Opens the image, makes the disks of its layers that are missing, and plans the container. */
export async function prepareImage(
  values: Values,
  command: readonly string[],
  io: Io,
  signal: AbortSignal,
): Promise<ImageContainer> {
  const vm = checkOptions(values, io);
  const scratchBytes = parseBytes('--scratch-size', values['scratch-size'] ?? DEFAULT_SCRATCH);
  const request = {
    command,
    entrypoint: values.entrypoint,
    env: parseEnvironment(values.env, io),
    workingDir: values.cwd,
    user: values.user,
  };
  const cacheDirectory = resolve(io.cwd, values['cache-dir'] ?? defaultCache(io.env));
  await using image = await openImage(resolve(io.cwd, values.image ?? ''), choice(values));
  const merged = mergeProcess(image.config.process, request);
  if (merged.args.length === 0) {
    throw new UsageError('the image names no program: give the COMMAND to run');
  }
  const disks = await makeDisks(image, new LayerCache(cacheDirectory), values.quiet, io, signal);
  const id = values.name ?? `gcsctl-${randomBytes(6).toString('hex')}`;
  const root = `/run/gcsctl/${id}/rootfs`;
  const spec = imageSpec(merged, disks, root);
  // What the options say of the process is in the specification by now, merged with the image's.
  const rest = { ...values, name: id, env: [], user: undefined, cwd: undefined };
  return {
    plan: planContainer(rest, [], io, spec),
    mount: (guest, abort) =>
      ImageRoot.mount({
        ...{ guest, id, root, disks, scratchBytes, signal: abort },
        ...{ qmpSocket: vm.qmp, scratchDirectory: cacheDirectory },
      }),
  };
}

function checkOptions(values: Values, io: Io): VmDirectory {
  if (values.rootfs !== undefined || values.bundle !== undefined) {
    throw new UsageError('give one of --image FILE, --bundle DIR and --rootfs DIR');
  }
  if (values.vm === undefined) {
    throw new UsageError('--image needs --vm NAME: the layers become disks of a virtual machine');
  }
  if (!values.rm)
    throw new UsageError('--no-rm cannot go with --image: its disks end with the command');
  return vmTarget(values.vm, io).directory;
}

function choice(values: Values): {
  platform?: NonNullable<ReturnType<typeof parsePlatform>>;
  name: string | undefined;
} {
  const name = values['image-name'];
  if (values.platform === undefined) return { name };
  const platform = parsePlatform(values.platform);
  if (platform === undefined) {
    throw new UsageError(`--platform is OS/ARCH[/VARIANT], not "${values.platform}"`);
  }
  return { platform, name };
}

async function makeDisks(
  image: Image,
  cache: LayerCache,
  quiet: boolean,
  io: Io,
  signal: AbortSignal,
): Promise<CachedLayer[]> {
  const progress = new LayerProgress(io, image.layers.length, quiet);
  const disks: CachedLayer[] = [];
  let made = 0;
  for (const [index, layer] of image.layers.entries()) {
    signal.throwIfAborted();
    let disk = await cache.find(layer);
    if (disk === undefined) {
      const onProgress = (bytes: number): void => progress.update(index + 1, layer, bytes);
      disk = await cache.make(layer, { onProgress, signal });
      made += 1;
      progress.made(index + 1, layer, disk);
    }
    disks.push(await inheriting(cache, layer, disk, disks, { signal }));
  }
  progress.done(made, disks);
  return disks;
}

function imageSpec(merged: MergedProcess, disks: readonly CachedLayer[], rootfs: string): OciSpec {
  const { uid, gid, additionalGids } = resolveImageUser(
    merged.user,
    disks.map(({ users }) => users),
  );
  const groups = additionalGids.length === 0 ? {} : { additionalGids: [...additionalGids] };
  const spec = defaultSpec({
    args: merged.args,
    env: merged.env,
    cwd: merged.workingDir,
    user: { uid, gid, ...groups },
    rootfs,
  });
  if (merged.stopSignal === '') return spec;
  // Where the image specification's conversion.md puts it. Labels stay out: an image is not to
  // speak to the agent in annotations.
  const annotations = { 'org.opencontainers.image.stopSignal': merged.stopSignal };
  return { ...spec, annotations };
}
