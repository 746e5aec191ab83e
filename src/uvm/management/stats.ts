import { readFileIfPresent, readKeyed } from '../../cgroup/files.ts';
import { processStartTime } from '../../os/process.ts';
import type { Container } from '../container.ts';
import type { ContainerStats, NetworkCounters } from '../management-types.ts';
import { containerStatistics } from '../statistics.ts';

/** Figures of a container: its cgroup, and its network as its init sees it. */
export async function containerStats(container: Container): Promise<ContainerStats> {
  const metrics = await containerStatistics(container);
  const memoryEvents = readMemoryEvents(container);
  return {
    id: container.id,
    at: Date.now(),
    metrics,
    network: readNetworkCounters(container),
    oomKills: container.memoryKills,
    ...(memoryEvents === undefined ? {} : { memoryEvents }),
  };
}

/** None when init has ended, and with it what could be looked through. */
function readNetworkCounters({ init }: Container): NetworkCounters[] {
  const text = init.running ? readFileIfPresent(`/proc/${init.pid}/net/dev`) : undefined;
  // After the file: a pid that was another's by then has given another's figures. That init still
  // counts as running says little, since an init that is not our child is collected by others.
  const known = text !== undefined && processStartTime(init.pid) === init.startTime;
  return known ? parseNetworkCounters(text) : [];
}

/** cgroup v2: memory.events, with what is below (cgroups(7)). */
function readMemoryEvents({ runtime }: Container): ContainerStats['memoryEvents'] {
  const unified = runtime.cgroup?.unified;
  if (unified === undefined) return undefined;
  const counts = readKeyed(`${unified}/memory.events`);
  if (counts === undefined) return undefined;
  const of = (name: string): number => Number(counts.get(name));
  return {
    low: of('low'),
    high: of('high'),
    max: of('max'),
    oom: of('oom'),
    oomKill: of('oom_kill'),
  };
}

/** The interfaces of proc_pid_net(5) `dev`, without lo: bytes, packets, errors, drops and four more for receiving, then for sending. */
export function parseNetworkCounters(text: string): NetworkCounters[] {
  const found: NetworkCounters[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*(\S+):\s*(\d[\d\s]*)$/.exec(line);
    const name = match?.[1];
    const values = match?.[2]?.trim().split(/\s+/).map(BigInt) ?? [];
    if (name === undefined || name === 'lo' || values.length < 16) continue;
    const [rxBytes = 0n, rxPackets = 0n, rxErrors = 0n, rxDropped = 0n] = values;
    const [txBytes = 0n, txPackets = 0n, txErrors = 0n, txDropped = 0n] = values.slice(8);
    found.push({
      name,
      rxBytes,
      rxPackets,
      rxErrors,
      rxDropped,
      txBytes,
      txPackets,
      txErrors,
      txDropped,
    });
  }
  return found;
}
