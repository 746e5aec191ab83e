import { parseJson } from '../json.ts';
import type { ImageFile, ImageFiles } from './archive-files.ts';
import { type Digest, DigestCheck, digestText } from './digest.ts';
import { ImageError } from './errors.ts';
import { imageLimits } from './limits.ts';

export type Json = Readonly<Record<string, unknown>>;

/** A JSON object, as a document of an image is. `what` names it in errors. */
export function asObject(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new ImageError('corrupt', `${what} is no JSON object`);
}

/** An array, none for a field that is missing or null, as Go writes empty ones. */
export function asArray(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new ImageError('corrupt', `${what} is no array`);
}

export function asText(value: unknown, what: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  throw new ImageError('corrupt', `${what} is no text`);
}

export function asTexts(value: unknown, what: string): string[] {
  return asArray(value, what).map((each, index) => asText(each, `${what}[${index}]`));
}

export async function readDocument(file: ImageFile, what: string): Promise<unknown> {
  return parseText(await readBounded(file, what), what);
}

/** A document by its digest, checked. */
export async function readBlobDocument(
  files: ImageFiles,
  digest: Digest,
  what: string,
): Promise<unknown> {
  const bytes = await readBounded(await blob(files, digest, what), what);
  const check = new DigestCheck(digest, what);
  check.update(bytes);
  check.finish();
  return parseText(bytes, what);
}

/** Where OCI layouts keep what has a digest; image-layout.md, "Blobs". */
export async function blob(files: ImageFiles, digest: Digest, what: string): Promise<ImageFile> {
  const found = await files.find(`blobs/${digest.algorithm}/${digest.hex}`);
  if (found !== undefined) return found;
  throw new ImageError('not-an-image', `${files.name}: ${what}, ${digestText(digest)}, is missing`);
}

async function readBounded(file: ImageFile, what: string): Promise<Buffer> {
  if (file.size > imageLimits.documentBytes) {
    const most = imageLimits.documentBytes;
    throw new ImageError('refused', `${what} has ${file.size} bytes, of at most ${most}`);
  }
  const parts: Buffer[] = [];
  for await (const part of file.read()) parts.push(part);
  return Buffer.concat(parts);
}

function parseText(bytes: Buffer, what: string): unknown {
  try {
    return parseJson(bytes.toString('utf8'));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ImageError('corrupt', `${what} is no JSON: ${reason}`, { cause });
  }
}
