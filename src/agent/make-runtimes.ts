import { existsSync } from 'node:fs';
import type { Logger } from '../log/logger.ts';
import type { Reaper } from '../os/reaper.ts';
import { RuncRuntime } from '../runtime/runc/runtime.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { RuntimeCatalogue } from '../uvm/runtime-catalogue.ts';
import type { RuntimeChoices } from './runtimes.ts';

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
