import { resolve } from 'node:path';
import { DEFAULT_HOST_PATH } from '../cli/host-path.ts';
import type { OptionTable, OptionValues } from '../cli/options.ts';

/** Options before the name of a command: those of runc, and the agent that does the work. */
export const globalOptions = {
  agent: {
    kind: 'text',
    value: 'PATH',
    help: `the agent on hybrid:PATH (default $GCS_OCI_AGENT, then ${DEFAULT_HOST_PATH})`,
  },
  root: {
    kind: 'text',
    value: 'DIR',
    help: 'where this program remembers containers; one directory is one set of ids (default /run/gcs-oci)',
  },
  log: { kind: 'text', value: 'FILE', help: 'also write errors to this file' },
  'log-format': {
    kind: 'choice',
    value: 'FORMAT',
    of: ['text', 'json'],
    help: 'of --log: text (default) or json',
  },
  debug: { kind: 'flag', help: 'taken for compatibility; the agent has a log of its own' },
  'systemd-cgroup': { kind: 'flag', help: 'let systemd of the guest make the cgroups' },
  criu: { kind: 'text', value: 'PATH', help: 'taken for compatibility' },
  rootless: { kind: 'text', value: 'MODE', help: 'taken for compatibility; the agent is root' },
  version: { kind: 'flag', short: 'v', help: 'print the version' },
} as const satisfies OptionTable;

/** What every command knows of its surroundings. */
export interface Globals {
  /** PATH of the agent's hybrid:PATH. */
  readonly agent: string;
  readonly root: string;
  readonly log: string | undefined;
  readonly logFormat: 'text' | 'json';
  readonly systemdCgroup: boolean;
}

export function globalsOf(
  values: OptionValues<typeof globalOptions>,
  env: Readonly<Record<string, string | undefined>>,
): Globals {
  return {
    agent: resolve(values.agent ?? (env.GCS_OCI_AGENT || DEFAULT_HOST_PATH)),
    root: resolve(values.root ?? '/run/gcs-oci'),
    log: values.log === undefined || values.log === '' ? undefined : resolve(values.log),
    logFormat: values['log-format'] ?? 'text',
    systemdCgroup: values['systemd-cgroup'],
  };
}
