import { join } from 'node:path/posix';
import { signalNumber } from '../../os/signals.ts';
import type { ContainerPlan } from '../container-plan.ts';
import { UsageError } from '../exit-codes.ts';
import type { OptionSpec, OptionValues } from '../options.ts';
import { parseBytes } from '../values.ts';
import type { Door } from './open.ts';

const MiB = 1024 * 1024;
/** Logs are on the guest's memory unless told otherwise, so they are short. */
const LOG_BYTES = 4 * MiB;
const LOG_FILES = 3;

/** Options of "create" and "run --detach" that the management door alone has a word for. */
export const keptOptions = {
  log: {
    kind: 'text',
    value: 'PATH',
    help: 'log file in the guest, or "none" (default: one beside the bundle, removed with the container)',
  },
  'log-size': {
    kind: 'text',
    value: 'BYTES',
    help: 'a log longer than this is rotated (default 4m; three files are kept)',
  },
  'stop-signal': {
    kind: 'text',
    value: 'SIGNAL',
    help: 'what "gcsctl stop" sends first (default TERM)',
  },
  annotation: { kind: 'list', value: 'NAME=VALUE', help: 'shown by inspect, found by ps --filter' },
} as const satisfies Record<string, OptionSpec>;

type KeptValues = OptionValues<typeof keptOptions>;

export interface KeptPlan {
  readonly log: { path: string; maxBytes: number; maxFiles: number } | undefined;
  readonly stopSignal: number | undefined;
  readonly annotations: Record<string, string> | undefined;
}

/** Throws UsageError. */
export function planKept(values: KeptValues, plan: ContainerPlan): KeptPlan {
  const text = values['stop-signal'];
  const stopSignal = text === undefined ? undefined : signalNumber(text);
  if (text !== undefined && stopSignal === undefined) {
    throw new UsageError(`--stop-signal: no signal is called "${text}"`);
  }
  const size = values['log-size'];
  const maxBytes = size === undefined ? LOG_BYTES : parseBytes('--log-size', size);
  const path = values.log ?? join(plan.bundle, 'log');
  if (path !== 'none' && !path.startsWith('/')) {
    throw new UsageError(`--log is an absolute path in the guest or "none", not "${path}"`);
  }
  const annotations = values.annotation.map((entry) => {
    const equals = entry.indexOf('=');
    if (equals < 1) throw new UsageError(`--annotation is NAME=VALUE, not "${entry}"`);
    return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
  });
  return {
    log: path === 'none' ? undefined : { path, maxBytes, maxFiles: LOG_FILES },
    stopSignal,
    annotations: annotations.length === 0 ? undefined : Object.fromEntries(annotations),
  };
}

/** Names of `keptOptions` that were given. */
export function keptGiven(values: KeptValues): string[] {
  return (Object.keys(keptOptions) as (keyof typeof keptOptions)[]).filter((name) => {
    const value = values[name];
    return Array.isArray(value) ? value.length > 0 : value !== undefined;
  });
}

/** Creates a container that outlives this command. */
export async function createKept(
  { client, signal }: Door,
  plan: ContainerPlan,
  kept: KeptPlan,
  openStdin: boolean,
): Promise<void> {
  const { id, bundle, spec } = plan;
  await client.call('container.create', { id, bundle, spec, openStdin, ...kept }, { signal });
}
