import { UsageError } from './exit-codes.ts';
import type { OptionSpec, OptionValues } from './options.ts';

/** Options of "run" that say which image, and how it gets into the VM. */
export const imageOptions = {
  image: {
    kind: 'text',
    value: 'FILE',
    help: 'OCI image layout (directory or tar) or archive of "docker save"; needs --vm',
  },
  'image-name': { kind: 'text', value: 'NAME', help: 'which one, of several images in FILE' },
  platform: {
    kind: 'text',
    value: 'OS/ARCH[/VARIANT]',
    help: 'which one, of an image for several platforms (default: linux and this processor)',
  },
  entrypoint: {
    kind: 'text',
    value: 'PROGRAM',
    help: 'instead of the image’s entry point; "" for none',
  },
  'scratch-size': {
    kind: 'text',
    value: 'BYTES',
    help: 'room for what the container writes (default 4g; takes what is written)',
  },
  'cache-dir': {
    kind: 'text',
    value: 'DIR',
    help: 'disks made of layers (default $XDG_CACHE_HOME/gcsctl/layers)',
  },
  quiet: { kind: 'flag', short: 'q', help: 'do not tell of layers that are made into disks' },
} as const satisfies Record<string, OptionSpec>;

/** Throws UsageError for an option that means nothing without an image. */
export function refuseImageOptions(values: OptionValues<typeof imageOptions>): void {
  for (const name of Object.keys(imageOptions) as (keyof typeof imageOptions)[]) {
    const value = values[name];
    if (value !== undefined && value !== false)
      throw new UsageError(`--${name} needs --image FILE`);
  }
}
