import { shortDigest } from '../image/digest.ts';
import type { CachedLayer, ImageLayer } from '../image/index.ts';
import type { Io } from './io.ts';

/** Milliseconds between two updates of a line on a terminal. */
const UPDATE_MS = 100;

/** Tells on stderr how layers become disks; silent about those that are there already. */
export class LayerProgress {
  readonly #io: Io;
  readonly #quiet: boolean;
  readonly #total: number;
  readonly #width: number;
  #updated = 0;

  constructor(io: Io, layers: number, quiet: boolean) {
    this.#io = io;
    this.#total = layers;
    this.#width = String(layers).length;
    this.#quiet = quiet;
  }

  /** `bytes` of the layer's file were read. Shown only where a line can be written again. */
  update(number: number, layer: ImageLayer, bytes: number): void {
    const now = Date.now();
    if (this.#quiet || this.#io.stderr.isTTY !== true || now - this.#updated < UPDATE_MS) return;
    this.#updated = now;
    const of = `${size(bytes)} of ${size(layer.file.size)}`;
    this.#io.stderr.write(`\r\x1b[K${this.#head(number, layer)}${of}`);
  }

  made(number: number, layer: ImageLayer, { diskSize }: CachedLayer): void {
    if (this.#quiet) return;
    const start = this.#io.stderr.isTTY === true ? '\r\x1b[K' : '';
    const sizes = `${size(layer.file.size)} → disk of ${size(diskSize)}`;
    this.#io.stderr.write(`${start}${this.#head(number, layer)}${sizes}\n`);
  }

  /** `made`: how many of the disks are new. */
  done(made: number, disks: readonly CachedLayer[]): void {
    if (this.#quiet || made === 0) return;
    const bytes = disks.reduce((sum, { diskSize }) => sum + diskSize, 0);
    const kept = disks.length - made;
    this.#io.stderr.write(
      `${disks.length} ${disks.length === 1 ? 'layer' : 'layers'} on disks of ${size(bytes)}: ${made} made, ${kept} there already\n`,
    );
  }

  #head(number: number, { diffId }: ImageLayer): string {
    return `layer ${String(number).padStart(this.#width)}/${this.#total} ${shortDigest(diffId)}: `;
  }
}

function size(bytes: number): string {
  if (bytes < 1024 ** 2) return `${Math.ceil(bytes / 1024)} KiB`;
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
