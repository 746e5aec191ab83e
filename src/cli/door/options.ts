import { DEFAULT_HOST_PATH } from '../host-path.ts';
import type { OptionSpec } from '../options.ts';

/** The options of every command that goes through the management door of a standing agent. */
export const doorOptions = {
  host: {
    kind: 'text',
    short: 'H',
    value: 'PATH',
    help: `the agent on hybrid:PATH (default $GCSCTL_HOST, then ${DEFAULT_HOST_PATH})`,
  },
  vm: { kind: 'text', value: 'NAME', help: 'the agent of this virtual machine ("gcsctl vm up")' },
  timeout: {
    kind: 'number',
    value: 'SECONDS',
    min: 0.1,
    max: 86_400,
    fraction: true,
    help: 'how long to wait for the agent to answer (default 10; of a VM 60)',
  },
} as const satisfies Record<string, OptionSpec>;

export interface DoorAddress {
  readonly host?: string | undefined;
  readonly vm?: string | undefined;
  readonly timeout?: number | undefined;
}
