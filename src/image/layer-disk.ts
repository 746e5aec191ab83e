import type { FileHandle } from 'node:fs/promises';
import type { ImageFile } from './archive-files.ts';
import { decompressed } from './compression.ts';
import { type Digest, DigestCheck, shortDigest } from './digest.ts';
import { ErofsWriter } from './erofs.ts';
import { ImageError } from './errors.ts';
import { type Attributes, type Content, LayerTree } from './layer-tree.ts';
import { imageLimits } from './limits.ts';
import { readTar, type TarMember } from './tar.ts';
import { UserFiles, type UserFilesOfLayer } from './user-files.ts';
import { appendVerity } from './verity-tree.ts';

/** What a layer has become. */
export interface LayerDisk {
  /** Of the hash tree, hexadecimal. */
  readonly rootDigest: string;
  /** Bytes of the file system, without the hash tree. */
  readonly size: number;
  readonly users: UserFilesOfLayer;
  /** Directories that the layer has files in but no entries of. */
  readonly implied: readonly string[];
}

export interface LayerSource {
  readonly diffId: Digest;
  readonly digest: Digest | undefined;
  readonly file: ImageFile;
}

export interface BuildOptions {
  /** Told of the bytes of the layer's file that were read so far. */
  readonly onProgress?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
  /** Most bytes of the layer when it is unpacked; default imageLimits.layerBytes. */
  readonly mostBytes?: number;
  /** What implied directories are in lower layers, by path. */
  readonly inherited?: ReadonlyMap<string, Attributes>;
}

/**
 * Turns a layer into a disk with a read-only file system and the hash tree of dm-verity behind it.
 * `target` is an empty file and stays the caller's; what is in it after a failure is of no use.
 * Throws ImageError: the layer is not what its digests say, or asks for what is not given.
 */
export async function buildLayerDisk(
  layer: LayerSource,
  target: FileHandle,
  options: BuildOptions = {},
): Promise<LayerDisk> {
  const { signal } = options;
  const image = await ErofsWriter.begin(target);
  const tree = new LayerTree();
  const users = new UserFiles();
  for await (const member of readTar(checkedLayer(layer, options))) {
    const { entry } = member;
    tree.add(entry, entry.type === 'file' ? await take(member, image, users) : { kind: 'none' });
  }
  const root = tree.finish(options.inherited);
  const size = await image.finish(root);
  const rootDigest = await appendVerity(target, size, signal);
  await target.sync();
  return { rootDigest, size, users: users.finish(tree), implied: tree.implied() };
}

async function take(member: TarMember, image: ErofsWriter, users: UserFiles): Promise<Content> {
  const { entry } = member;
  return await image.addContent(entry.size, users.watch(entry, member.content()));
}

/** The layer's tar archive; both its digests have been checked when it has ended. */
async function* checkedLayer(
  { diffId, digest, file }: LayerSource,
  { onProgress, signal, mostBytes = imageLimits.layerBytes }: BuildOptions,
): AsyncGenerator<Buffer> {
  const what = `layer ${shortDigest(diffId)}`;
  const packed = digest === undefined ? undefined : new DigestCheck(digest, what);
  const unpacked = new DigestCheck(diffId, `${what}, uncompressed,`);
  let read = 0;
  const source = (async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of file.read()) {
      signal?.throwIfAborted();
      packed?.update(chunk);
      read += chunk.length;
      onProgress?.(read);
      yield chunk;
    }
    packed?.finish();
  })();
  for await (const chunk of decompressed(source, what)) {
    unpacked.update(chunk);
    if (unpacked.bytes > mostBytes) {
      throw new ImageError('refused', `${what} unpacks to more than ${mostBytes} bytes`);
    }
    yield chunk;
  }
  unpacked.finish();
}
