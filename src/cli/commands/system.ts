import { open, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { StreamedMethod } from '../../client/management/index.ts';
import type { ParamsInput, Result } from '../../management/contract.ts';
import { defineCommand } from '../command.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { ago, binaryBytes, spanInWords } from '../format.ts';
import type { Io } from '../io.ts';
import { jsonOption, printJson, printTable } from '../output.ts';
import { openStanding } from '../session.ts';
import { noPositionals } from '../values.ts';

export const systemInfoCommand = defineCommand({
  name: 'system info',
  summary: 'tell of the agent and the machine it is on',
  usage: ['[OPTIONS]'],
  description: ['Versions, memory, numbers of containers and clients.'],
  options: { ...doorOptions, json: jsonOption },
  completes: 'nothing',
  examples: [['system info --vm one', 'a table']],
  async run(values, positionals, io) {
    noPositionals(positionals);
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    const info = await client.call('system.info', {}, { signal });
    const { runtimes } = await client.call('runtime.list', {}, { signal });
    if (values.json) printJson(io, { ...info, runtimes });
    else printTable(io, ['PROPERTY', 'VALUE'], infoRows(info, runtimes, Date.now()));
    return EXIT_OK;
  },
});

/** The table of "gcsctl system info". */
function infoRows(
  { agent, machine, containers, clients }: Result<'system.info'>,
  runtimes: Result<'runtime.list'>['runtimes'],
  now: number,
): [string, string][] {
  const { running, paused, stopped, total } = containers;
  const free = binaryBytes(machine.memoryAvailableBytes);
  return [
    ['agent', `${agent.version}, pid ${agent.pid}, started ${ago(agent.startedAt, now)}`],
    ['agent memory', binaryBytes(agent.residentBytes)],
    ['transport', agent.transport],
    ['node', agent.node],
    ['machine', `${machine.hostname}, ${machine.architecture}, Linux ${machine.kernel}`],
    ['processors', String(machine.cpus)],
    ['memory', `${binaryBytes(machine.memoryBytes)}, ${free} available`],
    ['up', spanInWords(machine.uptimeSeconds * 1000)],
    ['shutdown', machine.ownMachine ? 'powers the machine off' : 'ends the agent alone'],
    ['containers', `${total}: ${running} running, ${paused} paused, ${stopped} stopped`],
    ['clients', String(clients)],
    ...runtimes.map((each): [string, string] => [
      `runtime ${each.name}`,
      each.error ?? `${each.version ?? each.program}${each.default ? `, for ${each.default}` : ''}`,
    ]),
  ];
}

export const systemMetricsCommand = defineCommand({
  name: 'system metrics',
  summary: 'print the agent’s metrics in the text format of Prometheus',
  usage: ['[OPTIONS]'],
  description: ['Figures of the agent and its containers.'],
  options: doorOptions,
  completes: 'nothing',
  examples: [['system metrics | grep gcs_containers', 'some of them']],
  async run(values, positionals, io) {
    noPositionals(positionals);
    await using door = await openDoor(values, io);
    const { text } = await door.client.call('system.metrics', {}, { signal: door.signal });
    io.stdout.write(text);
    return EXIT_OK;
  },
});

export const systemStacksCommand = defineCommand({
  name: 'system stacks',
  aliases: ['dump-stacks'],
  summary: 'print the state of the agent, for finding faults',
  usage: ['[OPTIONS]'],
  description: ['Prints what the agent is doing: requests, containers, processes, streams.'],
  options: {
    ...doorOptions,
    bridge: {
      kind: 'flag',
      help: 'ask over the bridge, as its host: for an agent whose door is shut',
    },
  },
  completes: 'nothing',
  examples: [
    ['system stacks', 'the agent on the default path'],
    ['system stacks --bridge --vm one', 'when its management door is off'],
  ],
  async run(values, positionals, io) {
    noPositionals(positionals);
    const text = values.bridge ? await overBridge(values, io) : await overDoor(values, io);
    io.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
    return EXIT_OK;
  },
});

type Address = Parameters<typeof openDoor>[0];

async function overDoor(address: Address, io: Io): Promise<string> {
  await using door = await openDoor(address, io);
  return (await door.client.call('system.stacks', {}, { signal: door.signal })).text;
}

async function overBridge({ host, vm, timeout }: Address, io: Io): Promise<string> {
  await using session = await openStanding({ host, vm, timeout }, io);
  return await session.guest.dumpStacks();
}

export const systemHealthCommand = defineCommand({
  name: 'system health',
  summary: 'tell whether the agent can do its work',
  usage: ['[OPTIONS]'],
  description: ['Prints each check; exits with 1 when one of them has failed.'],
  options: { ...doorOptions, json: jsonOption },
  completes: 'nothing',
  examples: [['system health', 'a table']],
  exitCodes: [['1', 'a check has failed']],
  async run(values, positionals, io) {
    noPositionals(positionals);
    await using door = await openDoor(values, io);
    const health = await door.client.call('system.health', {}, { signal: door.signal });
    if (values.json) printJson(io, health);
    else {
      const rows = health.checks.map(({ name, healthy, message }) => [
        name,
        healthy ? 'ok' : 'failed',
        message ?? '',
      ]);
      printTable(io, ['CHECK', 'RESULT', 'MESSAGE'], rows);
    }
    return health.healthy ? EXIT_OK : 1;
  },
});

const LEVELS = ['trace', 'debug', 'info', 'warning', 'error'] as const;

export const systemLogLevelCommand = defineCommand({
  name: 'system log-level',
  summary: 'print or set the level of the agent’s log',
  usage: ['[OPTIONS]', '[OPTIONS] LEVEL'],
  description: [`Levels are ${LEVELS.join(', ')}. A level that is set holds until the agent ends.`],
  options: doorOptions,
  completes: 'nothing',
  examples: [['system log-level debug', 'more of it']],
  async run(values, [text, more], io) {
    if (more !== undefined) throw new UsageError(`unexpected argument "${more}"`);
    const level = LEVELS.find((each) => each === text);
    if (text !== undefined && level === undefined) {
      throw new UsageError(`LEVEL is one of ${LEVELS.join(', ')}, not "${text}"`);
    }
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    const answer = await client.call('system.logLevel', level === undefined ? {} : { level }, {
      signal,
    });
    io.stdout.write(`${answer.level}\n`);
    return EXIT_OK;
  },
});

export const systemProfileCommand = defineCommand({
  name: 'system profile',
  summary: 'save a processor profile or a heap snapshot of the agent',
  usage: ['[OPTIONS] FILE'],
  description: [
    'Writes what DevTools and Node’s tools read: a .cpuprofile of the next seconds or, with --heap, a .heapsnapshot, during which the agent does nothing else. - is stdout.',
  ],
  options: {
    ...doorOptions,
    seconds: { kind: 'number', value: 'N', min: 1, max: 300, help: 'how long (default 10)' },
    heap: { kind: 'flag', help: 'the heap instead' },
  },
  examples: [
    ['system profile --seconds 30 agent.cpuprofile', 'half a minute'],
    ['system profile --heap agent.heapsnapshot', 'what is in memory'],
  ],
  async run(values, [file, more], io) {
    if (file === undefined) throw new UsageError('the FILE to write is missing');
    if (more !== undefined) throw new UsageError(`unexpected argument "${more}"`);
    if (values.heap && values.seconds !== undefined) {
      throw new UsageError('--heap and --seconds exclude each other');
    }
    await using door = await openDoor(values, io);
    if (values.heap) await save(door, 'system.heapSnapshot', {}, file, io);
    else await save(door, 'system.cpuProfile', { seconds: values.seconds ?? 10 }, file, io);
    return EXIT_OK;
  },
});

/** A file that did not become whole is removed. */
async function save<M extends Extract<StreamedMethod, `system.${string}`>>(
  door: Door,
  method: M,
  params: Omit<ParamsInput<M>, 'stream'>,
  file: string,
  io: Io,
): Promise<void> {
  if (file === '-') {
    await take(door, method, params, io.stdout, { end: false });
    return;
  }
  const path = resolve(io.cwd, file);
  const handle = await open(path, 'w', 0o600);
  try {
    await take(door, method, params, handle.createWriteStream(), { end: true });
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function take<M extends Extract<StreamedMethod, `system.${string}`>>(
  { client, signal }: Door,
  method: M,
  params: Omit<ParamsInput<M>, 'stream'>,
  output: Writable,
  { end }: { end: boolean },
): Promise<void> {
  // Until the pipeline listens; what it says then is the pipeline's.
  output.on('error', () => {});
  const { stream, done } = await client.stream(method, params, { signal });
  const copied = pipeline(stream, output, { signal, end });
  const [answered, moved] = await Promise.allSettled([done, copied]);
  signal.throwIfAborted();
  if (answered.status === 'rejected') throw answered.reason;
  if (moved.status === 'rejected') throw moved.reason;
}
