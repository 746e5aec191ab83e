import { type ImageFile, type ImageFiles, openImageFiles } from './archive-files.ts';
import { type ImageConfig, parseConfig } from './config.ts';
import { type Digest, parseDigest } from './digest.ts';
import {
  asArray,
  asObject,
  asText,
  asTexts,
  blob,
  readBlobDocument,
  readDocument,
} from './documents.ts';
import { ImageError } from './errors.ts';
import { imageLimits } from './limits.ts';
import { findManifest } from './oci-index.ts';
import { ownPlatform, type Platform, requirePlatform } from './platform.ts';

/** One layer as it lies in the image. */
export interface ImageLayer {
  /** Of its tar archive, uncompressed: its name wherever it comes from. */
  readonly diffId: Digest;
  /** Of the file as it is; undefined where the image does not tell. */
  readonly digest: Digest | undefined;
  readonly file: ImageFile;
}

export interface ImageChoice {
  /** Default: that of this machine. */
  readonly platform?: Platform;
  /** Name of one of several images in the file. */
  readonly name?: string | undefined;
}

/** An image of a file or directory. Disposing of it closes that. */
export interface Image extends AsyncDisposable {
  readonly config: ImageConfig;
  /** The lowest first. */
  readonly layers: readonly ImageLayer[];
}

/**
 * Opens an OCI image layout (a directory, or a tar archive of it) or an archive of "docker save",
 * old or new. Of layers only the presence is looked at. Throws ImageError.
 */
export async function openImage(path: string, choice: ImageChoice = {}): Promise<Image> {
  const files = await openImageFiles(path);
  try {
    const wanted = { platform: choice.platform ?? ownPlatform(), name: choice.name };
    const { config, layers } = await readImage(files, wanted);
    requirePlatform(config.platform, wanted.platform, path);
    return { config, layers, [Symbol.asyncDispose]: () => files[Symbol.asyncDispose]() };
  } catch (error) {
    await files[Symbol.asyncDispose]();
    throw error;
  }
}

interface Wanted {
  readonly platform: Platform;
  readonly name: string | undefined;
}

interface Contents {
  readonly config: ImageConfig;
  readonly layers: readonly ImageLayer[];
}

async function readImage(files: ImageFiles, wanted: Wanted): Promise<Contents> {
  // New archives of "docker save" have both; the layout has digests for everything.
  const index = await files.find('index.json');
  if (index !== undefined && (await files.find('oci-layout')) !== undefined) {
    return await readLayout(files, await readDocument(index, 'index.json'), wanted);
  }
  const manifest = await files.find('manifest.json');
  if (manifest !== undefined) {
    return await readSaved(files, await readDocument(manifest, 'manifest.json'), wanted);
  }
  const why = 'has neither oci-layout with index.json nor manifest.json';
  throw new ImageError('not-an-image', `${files.name} is no image: it ${why}`);
}

async function readLayout(files: ImageFiles, index: unknown, wanted: Wanted): Promise<Contents> {
  const digest = await findManifest(files, asObject(index, 'index.json'), wanted);
  const manifest = asObject(await readBlobDocument(files, digest, 'the manifest'), 'the manifest');
  const configDigest = digestOf(manifest.config, 'the manifest: config');
  const document = await readBlobDocument(files, configDigest, 'the image configuration');
  const config = parseConfig(document);
  const descriptors = asArray(manifest.layers, 'the manifest: layers');
  const diffIds = pairedIds(config, descriptors.length);
  const layers: ImageLayer[] = [];
  for (const [number, diffId] of diffIds.entries()) {
    const what = `layer ${number + 1}`;
    const layerDigest = digestOf(descriptors[number], what);
    layers.push({ diffId, digest: layerDigest, file: await blob(files, layerDigest, what) });
  }
  return { config, layers };
}

/** The form of "docker save" before its version 25: paths, and digests of the uncompressed layers only. */
async function readSaved(files: ImageFiles, value: unknown, wanted: Wanted): Promise<Contents> {
  const images = asArray(value, 'manifest.json').map((each) => {
    const image = asObject(each, 'manifest.json');
    const names = asTexts(image.RepoTags, 'manifest.json: RepoTags');
    const path = asText(image.Config, 'manifest.json: Config');
    return { names, config: path, layers: asTexts(image.Layers, 'manifest.json: Layers') };
  });
  const { name } = wanted;
  const found = name === undefined ? images : images.filter(({ names }) => names.includes(name));
  const [image, second] = found;
  if (image === undefined || second !== undefined) {
    const names = images.flatMap((each) => each.names).join(', ');
    throw new ImageError('no-match', `${files.name}: name one of its images: ${names}`);
  }
  const document = await readDocument(await need(files, image.config), image.config);
  const config = parseConfig(document);
  const layers: ImageLayer[] = [];
  for (const [number, diffId] of pairedIds(config, image.layers.length).entries()) {
    const file = await need(files, image.layers[number] ?? '');
    layers.push({ diffId, digest: undefined, file });
  }
  return { config, layers };
}

async function need(files: ImageFiles, path: string): Promise<ImageFile> {
  const file = await files.find(path);
  if (file !== undefined) return file;
  throw new ImageError('not-an-image', `${files.name}: ${JSON.stringify(path)} is missing`);
}

function digestOf(descriptor: unknown, what: string): Digest {
  return parseDigest(asObject(descriptor, what).digest, what);
}

function pairedIds({ diffIds }: ImageConfig, layers: number): readonly Digest[] {
  if (layers > imageLimits.imageLayers) {
    const most = imageLimits.imageLayers;
    throw new ImageError('refused', `the image has ${layers} layers, of at most ${most}`);
  }
  if (diffIds.length === layers && layers > 0) return diffIds;
  const why = `${layers} layers and ${diffIds.length} digests of them`;
  throw new ImageError('corrupt', `the image has ${why}`);
}
