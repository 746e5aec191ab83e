import { setTimeout as delay } from 'node:timers/promises';
import type { ManagementClient } from '../../client/management/index.ts';
import { stringifyJson } from '../../json.ts';
import { reachAgent } from '../agent.ts';
import { defineOciCommand, oneId } from '../command.ts';
import { OciError } from '../failure.ts';
import { ContainerDirectory } from '../records.ts';
import { runcStats } from './runc-stats.ts';
import { stateRow } from './state.ts';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

export const eventsCommand = defineOciCommand({
  name: 'events',
  summary: 'print figures and out-of-memory events of a container, one JSON object a line',
  usage: '[OPTIONS] ID',
  words: oneId,
  options: {
    interval: {
      kind: 'text',
      value: 'DURATION',
      help: 'between figures, as 500ms or 1m (default 5s)',
    },
    stats: { kind: 'flag', help: 'print the figures once and end' },
  },
  async run(values, [id = ''], globals) {
    const record = new ContainerDirectory(globals.root, id).require();
    const every = durationMs(values.interval ?? '5s');
    await using client = await reachAgent(record.agent);
    const { status } = await stateRow(client, record);
    if (status === 'stopped') throw new OciError(`container with id ${id} is not running`);
    if (values.stats) {
      await printStats(client, id);
      return 0;
    }
    const over = new AbortController();
    const ended = client.call('container.wait', { id }).finally(() => over.abort());
    await Promise.all([
      ended,
      printEvery(client, id, every, over.signal),
      printOom(client, id, over.signal),
    ]);
    return 0;
  },
});

/** Go's notation of a duration, as far as somebody would write it for this. */
function durationMs(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(number) * (UNITS[unit] ?? 0);
  if (!(ms >= 1)) throw new OciError('duration interval must be greater than 0');
  return ms;
}

function print(type: string, id: string, data?: unknown): void {
  process.stdout.write(`${stringifyJson({ type, id, ...(data === undefined ? {} : { data }) })}\n`);
}

async function printStats(client: ManagementClient, id: string): Promise<void> {
  const { stats } = await client.call('container.stats', { ids: [id] });
  const [figures] = stats;
  if (figures !== undefined) print('stats', id, runcStats(figures));
}

async function printEvery(
  client: ManagementClient,
  id: string,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await delay(ms, undefined, { signal }).catch(() => {}); // Aborted: the loop ends.
    if (!signal.aborted) await printStats(client, id);
  }
}

async function printOom(client: ManagementClient, id: string, signal: AbortSignal): Promise<void> {
  try {
    for await (const item of client.events({ signal })) {
      if (item.type === 'event' && item.kind === 'oom' && item.containerId === id) print('oom', id);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
