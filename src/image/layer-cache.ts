import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processStartTime } from '../os/process.ts';
import {
  type BuildOptions,
  buildLayerDisk,
  type LayerDisk,
  type LayerSource,
} from './layer-disk.ts';

/** Of the disks' format: another version of this program that makes other disks has another. */
const VERSION = 'v2';
const DISK = 'disk.erofs';
const DESCRIPTION = 'layer.json';
const UNFINISHED = /^new-(\d+)-(\d+)-/;

export interface CachedLayer extends LayerDisk {
  /** The disk. */
  readonly path: string;
  /** Bytes of the disk with its hash tree. */
  readonly diskSize: number;
}

/**
 * Disks of layers by the digest of the uncompressed layer, one directory each. A disk appears with
 * its description at once and whole, or not at all; two programs that make the same one make the
 * same bytes, and the first is kept.
 */
export class LayerCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = join(directory, VERSION);
  }

  /** The disk of a layer if it was made before. `variant`: of one made with options that change it. */
  async find(layer: LayerSource, variant?: string): Promise<CachedLayer | undefined> {
    const directory = this.#place(layer, variant);
    let text: string;
    try {
      text = await readFile(join(directory, DESCRIPTION), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const path = join(directory, DISK);
    return { ...(JSON.parse(text) as LayerDisk), path, diskSize: (await stat(path)).size };
  }

  /** Makes the disk of a layer, and what directories are missing. */
  async make(
    layer: LayerSource,
    options: BuildOptions = {},
    variant?: string,
  ): Promise<CachedLayer> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await this.#removeUnfinished();
    const unfinished = join(this.#directory, this.#unfinishedName());
    await mkdir(unfinished, { mode: 0o700 });
    try {
      {
        await using file = await open(join(unfinished, DISK), 'wx+', 0o600);
        const disk = await buildLayerDisk(layer, file, options);
        await writeFile(join(unfinished, DESCRIPTION), `${JSON.stringify(disk)}\n`);
      }
      await rename(unfinished, this.#place(layer, variant));
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true });
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EEXIST' && code !== 'ENOTEMPTY') throw error;
    }
    const made = await this.find(layer, variant);
    if (made === undefined)
      throw new Error(`the disk of ${layer.diffId.hex} was removed as soon as it was made`);
    return made;
  }

  #place({ diffId }: LayerSource, variant: string | undefined): string {
    const suffix = variant === undefined ? '' : `-${variant}`;
    return join(this.#directory, `${diffId.algorithm}-${diffId.hex}${suffix}`);
  }

  #unfinishedName(): string {
    const started = processStartTime(process.pid);
    return `new-${process.pid}-${started}-${randomBytes(4).toString('hex')}`;
  }

  /** Of programs that were killed. */
  async #removeUnfinished(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const [, pid, startTime] = UNFINISHED.exec(name) ?? [];
      if (pid === undefined || processStartTime(Number(pid)) === Number(startTime)) continue;
      await rm(join(this.#directory, name), { recursive: true, force: true });
    }
  }
}

/** Where disks are kept when nobody says otherwise; XDG Base Directory Specification. */
export function defaultCache(env: Readonly<Record<string, string | undefined>>): string {
  const { XDG_CACHE_HOME: chosen = '', HOME: home = '' } = env;
  // The specification has relative ones ignored.
  const base = chosen.startsWith('/') ? chosen : join(home === '' ? '/root' : home, '.cache');
  return join(base, 'gcsctl', 'layers');
}
