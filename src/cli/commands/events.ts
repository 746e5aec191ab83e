import type { ManagementEvent } from '../../client/management/index.ts';
import { defineCommand } from '../command.ts';
import { quietly } from '../door/follow.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { timestamp } from '../format.ts';
import type { Io } from '../io.ts';
import { jsonOption, printJson } from '../output.ts';
import { noPositionals } from '../values.ts';

const KINDS = ['create', 'start', 'exec', 'exit', 'oom', 'pause', 'resume', 'delete'];

export const eventsCommand = defineCommand({
  name: 'events',
  summary: 'show what has happened to containers, and what happens',
  usage: ['[OPTIONS]'],
  description: [
    'Prints the events the agent remembers, the oldest first; with --follow it goes on with those that come, also across a restart of the agent. Each has a number: --since goes on behind an interruption without losing one. Events that are lost for good are told of on stderr.',
  ],
  options: {
    ...doorOptions,
    follow: { kind: 'flag', short: 'f', help: 'go on until Ctrl-C' },
    since: {
      kind: 'number',
      value: 'SEQ',
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      help: 'from the event with this number on (default all; with -f none before now)',
    },
    filter: {
      kind: 'list',
      value: 'KEY=VALUE',
      help: 'only those with container=ID or event=KIND',
    },
    json: { ...jsonOption, help: 'print JSON, one event a line' },
  },
  completes: 'nothing',
  examples: [
    ['events', 'what there was'],
    ['events -f --filter container=web --filter event=exit', 'ends of one container'],
    ['events -f --since 120 --json', 'for a program that has seen 119'],
  ],
  async run(values, positionals, io) {
    noPositionals(positionals);
    const admits = parseEventFilters(values.filter);
    await using door = await openDoor(values, io);
    const show = (event: ManagementEvent): void => {
      if (!admits(event)) return;
      if (values.json) printJson(io, event);
      else io.stdout.write(`${eventLine(event)}\n`);
    };
    return await quietly(async () => {
      if (values.follow) await follow(door, values.since, show, io);
      else await past(door, values.since ?? 1, show, io);
      return EXIT_OK;
    });
  },
});

type Show = (event: ManagementEvent) => void;

async function follow({ client, signal }: Door, from: number | undefined, show: Show, io: Io) {
  const epoch = from === undefined ? {} : { epoch: client.server.epoch };
  for await (const item of client.events({ from, ...epoch, signal })) {
    if (item.type === 'event') show(withoutType(item));
    else tellGap(item, io);
  }
  signal.throwIfAborted();
}

/** What is remembered now, and no more. */
async function past({ client, signal }: Door, from: number, show: Show, io: Io): Promise<void> {
  const { next, epoch } = await client.call('events.subscribe', {}, { signal });
  const end = BigInt(next);
  const over = Promise.withResolvers<void>();
  using _events = client.connection.on('event', (event) => {
    if (BigInt(event.sequence) < end) show(event);
    if (BigInt(event.sequence) >= end - 1n) over.resolve();
  });
  using _gaps = client.connection.on('events.gap', (gap) => tellGap(gap, io));
  const start = await client.call('events.subscribe', { from, epoch }, { signal });
  // The first one there ever was is not asked for, so that it is no loss to have forgotten it.
  if (start.gap !== undefined && from > 1) tellGap(start.gap, io);
  if (BigInt(start.next) >= end) return;
  const aborted = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => aborted.reject(signal.reason), { once: true });
  const lost = client.ended.then((error) => Promise.reject(error));
  await Promise.race([over.promise, aborted.promise, lost]);
}

function withoutType({ type: _, ...event }: ManagementEvent & { type: 'event' }): ManagementEvent {
  return event;
}

function tellGap({ from, to }: { from: number | bigint; to: number | bigint }, io: Io): void {
  io.stderr.write(`gcsctl: events ${from} to ${to} are lost\n`);
}

/** One event for people. */
function eventLine(event: ManagementEvent): string {
  const { sequence, at, kind, containerId, processId, pid, exitCode, oomKilled, kills } = event;
  const facts = [
    ...(processId === undefined ? [] : [`process=${processId}`]),
    ...(pid === undefined ? [] : [`pid=${pid}`]),
    ...(exitCode === undefined ? [] : [`exitCode=${exitCode}`]),
    ...(oomKilled === true ? ['oomKilled'] : []),
    ...(kills === undefined ? [] : [`kills=${kills}`]),
  ];
  const tail = facts.length === 0 ? '' : `  (${facts.join(', ')})`;
  return `${String(sequence).padStart(5)}  ${timestamp(at)}  ${kind.padEnd(6)}  ${containerId}${tail}`;
}

/** Those of one key are alternatives, those of different keys go together. Throws UsageError. */
function parseEventFilters(texts: readonly string[]): (event: ManagementEvent) => boolean {
  const wanted: Record<'container' | 'event', string[]> = { container: [], event: [] };
  for (const text of texts) {
    const equals = text.indexOf('=');
    const [key, value] = [text.slice(0, Math.max(0, equals)), text.slice(equals + 1)];
    if ((key !== 'container' && key !== 'event') || value === '') {
      throw new UsageError(`--filter is container=ID or event=KIND, not "${text}"`);
    }
    if (key === 'event' && !KINDS.includes(value)) {
      throw new UsageError(`--filter: event is one of ${KINDS.join(', ')}, not "${value}"`);
    }
    wanted[key].push(value);
  }
  const has = (all: readonly string[], value: string) => all.length === 0 || all.includes(value);
  return ({ containerId, kind }) => has(wanted.container, containerId) && has(wanted.event, kind);
}
