import { defineCommand } from '../command.ts';
import { findContainer } from '../door/names.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { ago, type ContainerState, statusText } from '../format.ts';
import type { Io } from '../io.ts';
import { formatOption, isJson, jsonOption, printJson, printTable } from '../output.ts';
import { printProcesses } from './top.ts';

const STATES = ['creating', 'created', 'running', 'paused', 'stopped', 'destroyed'] as const;

export const psCommand = defineCommand({
  name: 'ps',
  aliases: ['list', 'ls'],
  summary: 'list containers',
  usage: ['[OPTIONS]', '[OPTIONS] ID'],
  description: [
    'Lists the containers that run, those of the agent’s host included; with --all also those that were not started yet or have ended. With an ID it lists the processes of that container, as "gcsctl top" does.',
  ],
  options: {
    ...doorOptions,
    all: { kind: 'flag', short: 'a', help: 'also those that do not run' },
    quiet: { kind: 'flag', short: 'q', help: 'only the ids' },
    filter: {
      kind: 'list',
      short: 'f',
      value: 'KEY=VALUE',
      help: 'only those with status=STATUS, id=TEXT (in the id) or annotation=NAME[=VALUE]',
    },
    format: formatOption,
    json: jsonOption,
  },
  completes: 'container',
  examples: [
    ['ps -a', 'all of them'],
    ['ps -aq --filter status=stopped', 'the ids of those that have ended'],
    ['ps --json --vm one', 'for programs'],
  ],
  async run(values, positionals, io) {
    const [id, more] = positionals;
    if (more !== undefined) throw new UsageError(`unexpected argument "${more}"`);
    const json = isJson(values);
    const filter = parseFilters(values.filter);
    await using door = await openDoor(values, io);
    if (id !== undefined) {
      await printProcesses(door, await findContainer(door, id), json, io);
      return EXIT_OK;
    }
    const found = (await list(door, values.all || filter.statuses.length > 0)).filter(
      filter.admits,
    );
    if (values.quiet) io.stdout.write(found.map((each) => `${each.id}\n`).join(''));
    else if (json) printJson(io, found);
    else printContainers(io, found, Date.now());
    return EXIT_OK;
  },
});

async function list({ client, signal }: Door, all: boolean): Promise<ContainerState[]> {
  const { containers } = await client.call(
    'container.list',
    all ? {} : { status: ['running', 'paused'] },
    { signal },
  );
  return containers;
}

/** The table of "gcsctl ps". */
function printContainers(io: Io, containers: readonly ContainerState[], now: number): void {
  printTable(
    io,
    ['CONTAINER ID', 'STATUS', 'PID', 'CREATED', 'RUNTIME'],
    containers.map((each) => [
      each.id,
      statusText(each, now),
      each.pid === 0 ? '-' : String(each.pid),
      ago(each.createdAt, now),
      each.runtime,
    ]),
  );
}

interface Filters {
  readonly statuses: readonly string[];
  readonly admits: (container: ContainerState) => boolean;
}

/** Those of one key are alternatives, those of different keys go together. Throws UsageError. */
function parseFilters(texts: readonly string[]): Filters {
  const pairs = texts.map((text) => {
    const equals = text.indexOf('=');
    if (equals < 1) throw new UsageError(`--filter is KEY=VALUE, not "${text}"`);
    return [text.slice(0, equals), text.slice(equals + 1)] as const;
  });
  const of = (key: string) => pairs.flatMap(([each, value]) => (each === key ? [value] : []));
  const [statuses, ids, annotations] = [of('status'), of('id'), of('annotation')];
  for (const [key, value] of pairs) {
    if (!['status', 'id', 'annotation'].includes(key)) {
      throw new UsageError(`--filter: "${key}" is none of status, id, annotation`);
    }
    if (key === 'status' && !STATES.some((state) => state === value)) {
      throw new UsageError(`--filter: status is one of ${STATES.join(', ')}, not "${value}"`);
    }
  }
  const some = (wanted: readonly string[], test: (value: string) => boolean) =>
    wanted.length === 0 || wanted.some(test);
  return {
    statuses,
    admits: (container) =>
      some(statuses, (value) => container.status === value) &&
      some(ids, (value) => container.id.includes(value)) &&
      some(annotations, (value) => hasAnnotation(container, value)),
  };
}

function hasAnnotation({ annotations }: ContainerState, text: string): boolean {
  const equals = text.indexOf('=');
  if (equals < 0) return Object.hasOwn(annotations, text);
  return annotations[text.slice(0, equals)] === text.slice(equals + 1);
}
