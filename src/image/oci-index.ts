import type { ImageFiles } from './archive-files.ts';
import { type Digest, digestText, parseDigest, shortDigest } from './digest.ts';
import { asArray, asObject, asText, type Json, readBlobDocument } from './documents.ts';
import { ImageError } from './errors.ts';
import { imageLimits } from './limits.ts';
import { matches, type Platform, platformOf, platformText } from './platform.ts';

const INDEX_TYPES: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const MANIFEST_TYPES: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** Names that tools give images in an index; annotations.md, and containerd's. */
const NAMES = ['org.opencontainers.image.ref.name', 'io.containerd.image.name'];

interface Candidate {
  readonly digest: Digest;
  readonly names: readonly string[];
  readonly platform: Platform | undefined;
}

/** The one manifest for a platform, and name if one is given. Throws ImageError 'no-match'. */
export async function findManifest(
  files: ImageFiles,
  index: Json,
  wanted: { platform: Platform; name: string | undefined },
): Promise<Digest> {
  const all: Candidate[] = [];
  await collect(files, index, [], { found: all, seen: new Set() }, 0);
  const named =
    wanted.name === undefined ? all : all.filter(({ names }) => names.includes(wanted.name ?? ''));
  const fitting = named.filter(
    ({ platform }) => platform === undefined || matches(platform, wanted.platform),
  );
  const digests = new Map(fitting.map(({ digest }) => [digestText(digest), digest]));
  const [digest, second] = digests.values();
  if (digest === undefined) throw noMatch(files.name, wanted, all);
  if (second === undefined) return digest;
  const names = fitting.map(({ names: [name], digest: each }) => name ?? shortDigest(each));
  const text = `${files.name} has several images, of which one has to be named: ${names.join(', ')}`;
  throw new ImageError('no-match', text);
}

interface Collected {
  readonly found: Candidate[];
  /** Indexes that were read, so that none is read twice however often it is named. */
  readonly seen: Set<string>;
}

async function collect(
  files: ImageFiles,
  index: Json,
  above: readonly string[],
  collected: Collected,
  depth: number,
): Promise<void> {
  const { found, seen } = collected;
  if (depth > imageLimits.indexDepth) {
    throw new ImageError('refused', `${files.name}: indexes within indexes, ${depth} deep`);
  }
  for (const each of asArray(index.manifests, 'the index: manifests')) {
    const descriptor = asObject(each, 'the index: a manifest');
    const digest = parseDigest(descriptor.digest, 'the index: a manifest');
    const type = asText(descriptor.mediaType, 'the index: mediaType');
    const names = [...above, ...namesOf(descriptor)];
    if (INDEX_TYPES.includes(type)) {
      if (seen.has(digest.hex)) continue;
      seen.add(digest.hex);
      const what = `the index ${shortDigest(digest)}`;
      const nested = asObject(await readBlobDocument(files, digest, what), what);
      await collect(files, nested, names, collected, depth + 1);
    } else if (MANIFEST_TYPES.includes(type)) {
      const platform =
        descriptor.platform === undefined
          ? undefined
          : platformOf(asObject(descriptor.platform, 'platform'), 'platform');
      // Not an image but what was attested of one.
      if (platform?.os !== 'unknown') found.push({ digest, names, platform });
    }
    if (found.length > imageLimits.archiveMembers) {
      throw new ImageError('refused', `${files.name}: too many manifests`);
    }
  }
}

function namesOf(descriptor: Json): string[] {
  const annotations = asObject(descriptor.annotations ?? {}, 'annotations');
  return NAMES.flatMap((key) => {
    const name = asText(annotations[key], key);
    return name === '' ? [] : [name];
  });
}

function noMatch(
  file: string,
  wanted: { platform: Platform; name: string | undefined },
  all: readonly Candidate[],
): ImageError {
  const { name, platform } = wanted;
  const what = name === undefined ? 'image' : `image named ${JSON.stringify(name)}`;
  const there = all.map(({ names, platform: found }) =>
    [...names.slice(0, 1), found === undefined ? '' : platformText(found)].join(' ').trim(),
  );
  const text = `${file} has no ${what} for ${platformText(platform)}; there are: ${there.join(', ')}`;
  return new ImageError('no-match', text);
}
