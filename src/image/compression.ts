import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { ImageError } from './errors.ts';
import { zstdFrames } from './zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz';

const MAGIC: readonly (readonly [kind: Compression, bytes: readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
];

/** By its first bytes: media types are not always true. */
export function compressionOf(head: Buffer): Compression {
  const found = MAGIC.find(([, bytes]) => bytes.every((byte, index) => head[index] === byte));
  return found?.[0] ?? 'none';
}

/** The bytes that were compressed. `what` names them in errors. */
export async function* decompressed(
  source: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) return;
  const whole = resumed(first.value, iterator);
  const compression = compressionOf(first.value);
  switch (compression) {
    case 'none':
      yield* whole;
      return;
    case 'gzip':
      return yield* through(whole, createGunzip(), what);
    case 'zstd':
      return yield* through(zstdFrames(whole), createZstdDecompress(), what);
    case 'bzip2':
    case 'xz':
      await iterator.return?.();
      throw new ImageError('unsupported', `${what} is compressed with ${compression}`);
  }
}

async function* resumed(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield first;
    for (;;) {
      const { done, value } = await rest.next();
      if (done === true) return;
      yield value;
    }
  } finally {
    await rest.return?.();
  }
}

async function* through(
  source: AsyncIterable<Buffer>,
  transform: ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>,
  what: string,
): AsyncGenerator<Buffer> {
  const input = Readable.from(source, { objectMode: false });
  // A failure of the input has to reach who reads the output; pipe() alone does not carry it.
  input.on('error', (error) => transform.destroy(error));
  try {
    yield* input.pipe(transform) as AsyncIterable<Buffer>;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!/^(Z_|ZSTD_|ERR_)/.test(code)) throw error;
    throw new ImageError('corrupt', `${what} cannot be decompressed: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    input.destroy();
    transform.destroy();
  }
}
