import { setTimeout as delay } from 'node:timers/promises';
import { connectManagement } from '../../src/client/management/index.ts';
import { type Memory, memory } from '../../test/support/proc.ts';
import type { Figure } from '../figures.ts';
import { type MeasureContext, startSubject } from '../subject.ts';

const KINDS = ['private', 'pss', 'rss'] as const;

/** What the agent holds before anybody has come to the door, and with the first client. */
export function doorMemoryFigures(prefix: string, before: Memory, after: Memory): Figure[] {
  const figure = (
    kind: (typeof KINDS)[number],
    when: string,
    label: string,
    kib: number,
  ): Figure => ({
    name: `${prefix}.${when}.${kind}`,
    label: `${kind === 'private' ? 'private' : kind.toUpperCase()} memory, ${label}`,
    value: kib / 1024,
    unit: 'MiB',
    better: 'lower',
  });
  return KINDS.flatMap((kind) => [
    figure(kind, 'shut', 'nobody at the door yet', before[kind]),
    figure(kind, 'client', 'with its first client', after[kind]),
  ]);
}

/** Memory of the agent's own process before and after the door's code was loaded. */
export async function measureDoorMemory(context: MeasureContext): Promise<Figure[]> {
  await using raw = await startSubject(context.subject);
  // What the start leaves to the engine's idle time is not part of being idle.
  context.progress('the agent comes to rest');
  await delay(1000);
  const before = memory(raw.agent.pid);
  await using client = await connectManagement(raw.host.path);
  await client.call('container.list', {});
  await delay(1000);
  return doorMemoryFigures('door.memory', before, memory(raw.agent.pid));
}
