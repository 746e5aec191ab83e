/** Images in every form that is read: layouts and archives, old and new. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type TarItem, tar } from './tar.ts';

export type Packing = 'none' | 'gzip' | 'zstd';

export interface TestLayer {
  tar: Buffer;
  packing?: Packing;
}

export interface TestImage {
  layers: readonly TestLayer[];
  /** The part "config" of the configuration. */
  config?: object;
  architecture?: string;
  name?: string;
}

/** Contents by path. */
export type Files = Map<string, Buffer>;

const OWN_ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'amd64';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function packed({ tar: bytes, packing = 'none' }: TestLayer): Buffer {
  if (packing === 'gzip') return gzipSync(bytes, { level: 1 });
  return packing === 'zstd' ? zstdCompressSync(bytes) : bytes;
}

function configOf({ layers, config = {}, architecture = OWN_ARCHITECTURE }: TestImage): Buffer {
  const ids = layers.map((layer) => `sha256:${sha256(layer.tar)}`);
  const rootfs = { type: 'layers', diff_ids: ids };
  return Buffer.from(JSON.stringify({ os: 'linux', architecture, config, rootfs }));
}

function put(files: Files, bytes: Buffer): { digest: string; size: number } {
  const hex = sha256(bytes);
  files.set(`blobs/sha256/${hex}`, bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}

/** An OCI image layout of these images. `nested`: the index names another index. */
export function ociLayout(images: readonly TestImage[], nested = false): Files {
  const files: Files = new Map();
  const manifests = images.map((image) => {
    const config = {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      ...put(files, configOf(image)),
    };
    const layers = image.layers.map((layer) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      ...put(files, packed(layer)),
    }));
    const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers };
    return {
      mediaType: MANIFEST,
      ...put(files, Buffer.from(JSON.stringify(manifest))),
      platform: { os: 'linux', architecture: image.architecture ?? OWN_ARCHITECTURE },
      ...(image.name === undefined
        ? {}
        : { annotations: { 'org.opencontainers.image.ref.name': image.name } }),
    };
  });
  const inner = { schemaVersion: 2, mediaType: INDEX, manifests };
  const index = nested
    ? {
        schemaVersion: 2,
        manifests: [{ mediaType: INDEX, ...put(files, Buffer.from(JSON.stringify(inner))) }],
      }
    : inner;
  files.set('index.json', Buffer.from(JSON.stringify(index)));
  files.set('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  return files;
}

/** What "docker save" wrote before its version 25. */
export function dockerSave(images: readonly TestImage[]): Files {
  const files: Files = new Map();
  const manifest = images.map((image) => {
    const config = configOf(image);
    const path = `${sha256(config)}.json`;
    files.set(path, config);
    const layers = image.layers.map((layer, index) => {
      const name = `${sha256(Buffer.from(`${index}${path}`))}/layer.tar`;
      files.set(name, layer.tar);
      return name;
    });
    return {
      Config: path,
      RepoTags: image.name === undefined ? null : [image.name],
      Layers: layers,
    };
  });
  files.set('manifest.json', Buffer.from(JSON.stringify(manifest)));
  return files;
}

/** What it writes since: both at once. */
export function dockerSaveOci(image: TestImage): Files {
  const files = ociLayout([image]);
  const config = configOf(image);
  const layers = image.layers.map((layer) => `blobs/sha256/${sha256(packed(layer))}`);
  const entry = { Config: `blobs/sha256/${sha256(config)}`, RepoTags: null, Layers: layers };
  return files.set('manifest.json', Buffer.from(JSON.stringify([entry])));
}

export function writeDirectory(directory: string, files: Files): string {
  for (const [path, bytes] of files) {
    mkdirSync(join(directory, dirname(path)), { recursive: true });
    writeFileSync(join(directory, path), bytes);
  }
  return directory;
}

/** `more`: entries in front, as links are. */
export function writeArchive(file: string, files: Files, more: readonly TarItem[] = []): string {
  const items = [...files].map(([path, data]): TarItem => ({ path, data }));
  writeFileSync(file, tar([...more, ...items]));
  return file;
}
