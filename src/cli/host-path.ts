import { resolve } from 'node:path';
import { secondsOption } from './common-options.ts';
import { UsageError } from './exit-codes.ts';
import type { Io } from './io.ts';
import type { OptionSpec } from './options.ts';

/** Where "gcsctl agent" starts an agent, and the other commands look for one, unless told otherwise. */
export const DEFAULT_HOST_PATH = '/run/gcsctl/vsock';

/** sun_path of unix(7) less its NUL and the longest port, "_4294967295". */
const MAX_HOST_PATH = 107 - 11;

/** The options of every command that talks to a standing agent. */
export const hostOptions = {
  host: {
    kind: 'text',
    short: 'H',
    value: 'PATH',
    help: `act as the host of the agent on hybrid:PATH (default $GCSCTL_HOST, then ${DEFAULT_HOST_PATH})`,
  },
  vm: { kind: 'text', value: 'NAME', help: 'the agent of this virtual machine ("gcsctl vm up")' },
  timeout: {
    ...secondsOption,
    help: 'how long to wait for the agent to dial (default 10)',
  },
} as const satisfies Record<string, OptionSpec>;

/** The path the option, the environment or the default names. */
export function hostPath(option: string | undefined, io: Io): string {
  const path = resolve(io.cwd, option ?? (io.env.GCSCTL_HOST || DEFAULT_HOST_PATH));
  if (Buffer.byteLength(path) > MAX_HOST_PATH) {
    throw new UsageError(`--host: a path of at most ${MAX_HOST_PATH} bytes, not ${path}`);
  }
  return path;
}
