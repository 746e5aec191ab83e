import { readFileIfPresent, readKeyed } from '../../cgroup/files.ts';
import type { Container } from '../container.ts';
import type { ContainerStats, NetworkCounters } from '../management-types.ts';
import { containerStatistics } from '../statistics.ts';

/** Figures of a container: its cgroup, and its network as its init sees it. */
export async function containerStats(container: Container): Promise<ContainerStats> {
  const metrics = await containerStatistics(container);
  const { init, id } = container;
  const text = init.running ? await readFileIfPresent(`/proc/${init.pid}/net/dev`) : undefined;
  // Read again only now: a pid that is another's by then has given another's figures.
  const network = text === undefined || !init.running ? [] : parseNetworkCounters(text);
  const memoryEvents = await readMemoryEvents(container);
  return {
    id,
    at: Date.now(),
    metrics,
    network,
    oomKills: container.memoryKills,
    ...(memoryEvents === undefined ? {} : { memoryEvents }),
  };
}

/** cgroup v2: memory.events, with what is below (cgroups(7)). */
async function readMemoryEvents({ runtime }: Container): Promise<ContainerStats['memoryEvents']> {
  const unified = runtime.cgroup?.unified;
  if (unified === undefined) return undefined;
  const counts = await readKeyed(`${unified}/memory.events`);
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
