import { asText, type Json } from './documents.ts';
import { ImageError } from './errors.ts';

/** What an image runs on, in Go's names; OCI image specification, image-index.md, "platform". */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** Empty: any. */
  readonly variant: string;
}

/** Of the processor this program runs on. */
export function ownPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
  return { os: 'linux', architecture: names[process.arch] ?? process.arch, variant: '' };
}

/** "linux/arm64", "linux/arm/v7" or "arm64". Undefined for anything else. */
export function parsePlatform(text: string): Platform | undefined {
  const parts = text.split('/');
  if (parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) return undefined;
  const [first = '', architecture, variant = ''] = parts;
  if (parts.length > 3) return undefined;
  if (architecture === undefined) return { os: 'linux', architecture: first, variant: '' };
  return { os: first, architecture, variant };
}

export function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === '' ? [] : [variant])].join('/');
}

/** The platform a document says it is for; undefined when it does not. */
export function platformOf(value: Json | undefined, what: string): Platform | undefined {
  if (value === undefined) return undefined;
  const platform = {
    os: asText(value.os, `${what}.os`),
    architecture: asText(value.architecture, `${what}.architecture`),
    variant: asText(value.variant, `${what}.variant`),
  };
  return platform.os === '' && platform.architecture === '' ? undefined : platform;
}

export function matches(found: Platform, wanted: Platform): boolean {
  if (found.os !== wanted.os || found.architecture !== wanted.architecture) return false;
  return wanted.variant === '' || found.variant === '' || found.variant === wanted.variant;
}

export function requirePlatform(found: Platform | undefined, wanted: Platform, name: string): void {
  if (found === undefined || matches(found, wanted)) return;
  throw new ImageError(
    'no-match',
    `${name} is for ${platformText(found)}, not for ${platformText(wanted)}`,
  );
}
