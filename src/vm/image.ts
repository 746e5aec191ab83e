import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VmError } from './errors.ts';

/** Debian's name of a processor. */
export type VmArchitecture = 'amd64' | 'arm64';

/** What vm-image/build.ts made, or its like. */
export interface VmImage {
  readonly directory: string;
  readonly architecture: VmArchitecture;
  readonly kernel: string;
  readonly initramfs: string;
  /** Read-only root on a disk; undefined: the initramfs is the root. */
  readonly root: string | undefined;
  readonly commandLine: string;
}

export function ownArchitecture(): VmArchitecture {
  return process.arch === 'arm64' ? 'arm64' : 'amd64';
}

export interface ImageChoice {
  /** Directory with the image; default build/vm/ARCHITECTURE of this installation. */
  readonly directory: string;
  /** Another kernel than the image's. */
  readonly kernel?: string | undefined;
}

/** Throws VmError 'missing' that names the file. */
export function findImage({ directory, kernel }: ImageChoice): VmImage {
  const need = (name: string): string => {
    const path = join(directory, name);
    if (existsSync(path)) return path;
    throw new VmError('missing', `${path} does not exist: "npm run vm-image" builds the image`);
  };
  if (kernel !== undefined && !existsSync(kernel)) {
    throw new VmError('missing', `the kernel ${kernel} does not exist`);
  }
  const root = join(directory, 'root.erofs');
  const hasRoot = existsSync(root);
  const uncompressed = join(directory, 'vmlinux');
  const manifest = JSON.parse(readFileSync(need('manifest.json'), 'utf8')) as {
    architecture?: VmArchitecture;
  };
  return {
    directory,
    architecture: manifest.architecture ?? ownArchitecture(),
    // Started without unpacking itself first, which takes seconds where there is no KVM.
    kernel: kernel ?? (existsSync(uncompressed) ? uncompressed : need('vmlinuz')),
    initramfs: need(hasRoot ? 'initramfs.img' : 'initramfs-full.img'),
    root: hasRoot ? root : undefined,
    commandLine: readFileSync(need('cmdline'), 'utf8').trim(),
  };
}
