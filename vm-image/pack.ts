import { createWriteStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { execa } from 'execa';
import { cpioArchive } from './cpio.ts';

/** Any fixed one will do: the same input is to give the same bytes. */
const UUID = '67637367-6373-4763-b367-637367637367';
/** Compressed at once: the larger, the smaller the image and the more is read for one page. */
const CLUSTER = 65_536;

/** A directory as an initramfs, compressed with zstd. */
export async function packInitramfs(root: string, file: string, level: number): Promise<void> {
  const compress = createZstdCompress({
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 0 },
  });
  await pipeline(Readable.from(cpioArchive(root)), compress, createWriteStream(file));
}

/** A directory as a read-only EROFS image. */
export async function packErofs(root: string, file: string): Promise<void> {
  await execa('mkfs.erofs', [
    '--quiet',
    '-zlz4hc,9',
    `-C${CLUSTER}`,
    '-T0',
    `-U${UUID}`,
    '--all-root',
    '-x-1',
    file,
    root,
  ]);
}

export function mebibytes(file: string): string {
  return `${(statSync(file).size / 1024 ** 2).toFixed(1)} MiB`;
}
