import { DEFAULT_HOST_PATH, hostOptions } from '../host-path.ts';
import type { OptionSpec } from '../options.ts';

/** The options of every command that goes through the management door of a standing agent. */
export const doorOptions = {
  ...hostOptions,
  host: {
    ...hostOptions.host,
    help: `the agent on hybrid:PATH (default $GCSCTL_HOST, then ${DEFAULT_HOST_PATH})`,
  },
  timeout: {
    ...hostOptions.timeout,
    help: 'how long to wait for the agent to answer (default 10; of a VM 60)',
  },
} as const satisfies Record<string, OptionSpec>;

export interface DoorAddress {
  readonly host?: string | undefined;
  readonly vm?: string | undefined;
  readonly timeout?: number | undefined;
}
