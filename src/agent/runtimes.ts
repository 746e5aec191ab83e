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
