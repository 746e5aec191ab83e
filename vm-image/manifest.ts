import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DebianPackage } from './debian.ts';

/** One package of the image, for whoever has to answer for it. */
export interface ManifestEntry {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  /** Short names of its copyright file (Debian's machine-readable format); "see copyright" else. */
  readonly licences: readonly string[];
}

export function manifestEntry(entry: DebianPackage, unpacked: string): ManifestEntry {
  const { name, version, sha256 } = entry;
  return { name, version, sha256, licences: licences(unpacked, name) };
}

function licences(unpacked: string, name: string): string[] {
  const path = join(unpacked, 'usr/share/doc', name, 'copyright');
  // Some packages link the directory of a package they are built with.
  if (!existsSync(path)) return ['see the source package'];
  const names = readFileSync(path, 'utf8').matchAll(/^License:\s*(\S.*)$/gim);
  const found = new Set([...names].map((match) => (match[1] ?? '').trim()));
  return found.size === 0 ? ['see copyright'] : [...found].sort();
}
