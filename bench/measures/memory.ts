import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RawAgent } from '../../test/support/agent-process.ts';
import { makeSpec } from '../../test/support/bundle.ts';
import { memory } from '../../test/support/proc.ts';
import { create, deleteState, signal, startInit, wait } from '../../test/support/raw-flows.ts';
import { atMost, type Figure } from '../figures.ts';
import { freshId, type MeasureContext, startSubject } from '../subject.ts';

interface Running {
  id: string;
  pid: number;
}

async function runOne(raw: RawAgent, context: MeasureContext): Promise<Running> {
  const id = freshId();
  const spec = makeSpec({
    args: ['sleep', '1000'],
    rootPath: context.rootfs,
    cgroupsPath: `/containers/${id}`,
  });
  await create(raw.bridge, id, join(context.directory, id), spec);
  return { id, pid: (await startInit(raw.host, raw.bridge, id)).pid };
}

async function endOne(raw: RawAgent, { id, pid }: Running): Promise<void> {
  const ended = wait(raw.bridge, id, pid);
  await signal(raw.bridge, id, pid, 9);
  raw.host.closeStreams();
  await ended;
  await deleteState(raw.bridge, id);
}

function figures(raw: RawAgent, when: string, label: string): Figure[] {
  const used = memory(raw.agent.pid);
  return (['private', 'pss', 'rss'] as const).map((kind) => {
    const value = used[kind] / 1024;
    return {
      name: `memory.${when}.${kind}`,
      label: `${kind === 'private' ? 'private' : kind.toUpperCase()} memory, ${label}`,
      value,
      unit: 'MiB',
      better: 'lower',
      ...(when === 'idle' && kind === 'private' ? { target: atMost(value, 20, '≤ 20 MiB') } : {}),
    };
  });
}

/** Memory of the agent's own process, idle and with containers whose output it relays. */
export async function measureMemory(context: MeasureContext): Promise<Figure[]> {
  await using raw = await startSubject(context.subject);
  // What the start leaves to the engine's idle time is not part of being idle.
  await delay(1000);
  const result = figures(raw, 'idle', 'idle');
  const running: Running[] = [];
  for (const [count, when] of [
    [1, 'one'],
    [50, 'fifty'],
  ] as const) {
    while (running.length < count) {
      context.progress(`container ${running.length + 1} of ${count}`);
      running.push(await runOne(raw, context));
    }
    await delay(1000);
    result.push(...figures(raw, when, count === 1 ? 'with 1 container' : `with ${count}`));
  }
  for (const one of running) await endOne(raw, one);
  return result;
}
