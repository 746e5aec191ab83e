import { existsSync } from 'node:fs';
import type { Logger } from '../log/logger.ts';
import type { Reaper } from '../os/reaper.ts';
import { RuncRuntime } from '../runtime/runc/runtime.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { RuntimeCatalogue } from '../uvm/runtime-catalogue.ts';
import { FlagError } from './go-flags.ts';

/** What the command line says of OCI runtimes. */
export interface RuntimeFlags {
  runtime: string;
  runtimes: string;
  'untrusted-runtime': string;
  'workload-trust': string;
  'cgroup-manager': string;
}

export interface RuntimeChoices {
  /** Program by name; the first is the trusted one, which the bridge uses. */
  readonly programs: ReadonlyMap<string, string>;
  readonly untrusted: string | undefined;
  readonly workloads: 'trusted' | 'untrusted';
  readonly cgroupManager: 'cgroupfs' | 'systemd';
}

/** Throws FlagError with a message for the user. */
export function parseRuntimes(flags: RuntimeFlags): RuntimeChoices {
  const programs = new Map([[flags.runtime, flags.runtime]]);
  for (const entry of flags.runtimes.split(',').filter((part) => part !== '')) {
    const match = /^([A-Za-z0-9_.-]{1,64})=(.+)$/.exec(entry);
    const [, name, program] = match ?? [];
    if (name === undefined || program === undefined) {
      throw new FlagError(`-runtimes: ${JSON.stringify(entry)} is not NAME=PROGRAM`);
    }
    if (programs.has(name)) throw new FlagError(`-runtimes: ${name} is there twice`);
    programs.set(name, program);
  }
  const untrusted = flags['untrusted-runtime'];
  if (untrusted !== '' && !programs.has(untrusted)) {
    throw new FlagError(`-untrusted-runtime: ${untrusted} is none of -runtimes`);
  }
  return {
    programs,
    untrusted: untrusted === '' ? undefined : untrusted,
    workloads: oneOf('workload-trust', flags['workload-trust'], ['trusted', 'untrusted']),
    cgroupManager: oneOf('cgroup-manager', flags['cgroup-manager'], ['cgroupfs', 'systemd']),
  };
}

function oneOf<T extends string>(name: string, value: string, values: readonly T[]): T {
  const found = values.find((each) => each === value);
  if (found !== undefined) return found;
  throw new FlagError(`-${name}: ${JSON.stringify(value)} is none of ${values.join(', ')}`);
}

/** The runtimes themselves; their programs are looked for when they are first run. */
export function makeRuntimes(
  choices: RuntimeChoices,
  { reaper, log }: { reaper: Reaper; log: Logger },
): { runtime: Runtime; runtimes: RuntimeCatalogue } {
  const systemdCgroup = choices.cgroupManager === 'systemd';
  const all = new Map<string, RuncRuntime>();
  for (const [name, program] of choices.programs) {
    // Each with bookkeeping of its own; that of the first is where it has always been.
    const root = all.size === 0 ? {} : { root: `/var/run/gcsrunc.${name}` };
    all.set(name, new RuncRuntime({ reaper, logger: log, name, program, systemdCgroup, ...root }));
  }
  const [[trusted, runtime] = []] = all;
  if (trusted === undefined || runtime === undefined) throw new TypeError('there is no runtime');
  if (systemdCgroup && !existsSync('/run/systemd/system')) {
    log.error('no container can be made: the cgroup manager is to be systemd, which does not run');
  }
  const { untrusted, workloads } = choices;
  return { runtime, runtimes: { all, trusted, untrusted, workloads } };
}
