import type { OptionValues } from '../../cli/options.ts';
import { reachAgent } from '../agent.ts';
import { defineOciCommand, oneId } from '../command.ts';
import { OciError } from '../failure.ts';
import { readObject } from '../json-file.ts';
import { ContainerDirectory } from '../records.ts';

const text = (value: string, help: string) => ({ kind: 'text', value, help }) as const;

const options = {
  resources: {
    kind: 'text',
    short: 'r',
    value: 'FILE',
    help: 'linux.resources of the runtime specification as JSON; - is stdin, and other options are ignored',
  },
  'blkio-weight': text('N', '10 to 1000'),
  'cpu-period': text('MICROSECONDS', 'of the quota'),
  'cpu-quota': text('MICROSECONDS', 'CPU time in a period'),
  'cpu-share': text('N', 'relative weight'),
  'cpu-rt-period': text('MICROSECONDS', 'real time'),
  'cpu-rt-runtime': text('MICROSECONDS', 'real time'),
  'cpuset-cpus': text('LIST', 'CPUs to use'),
  'cpuset-mems': text('LIST', 'memory nodes to use'),
  memory: text('BYTES', 'limit'),
  'memory-reservation': text('BYTES', 'soft limit'),
  'memory-swap': text('BYTES', 'memory and swap; -1: no limit'),
  'kernel-memory': text('BYTES', 'taken for compatibility: kernels have no such limit any more'),
  'kernel-memory-tcp': text('BYTES', 'taken for compatibility'),
  'pids-limit': text('N', 'processes at a time'),
} as const;

type Values = OptionValues<typeof options>;
type Name = keyof typeof options;

/** Option, section and name in linux.resources. */
const NUMBERS: readonly (readonly [Name, string, string])[] = [
  ['blkio-weight', 'blockIO', 'weight'],
  ['cpu-period', 'cpu', 'period'],
  ['cpu-quota', 'cpu', 'quota'],
  ['cpu-share', 'cpu', 'shares'],
  ['cpu-rt-period', 'cpu', 'realtimePeriod'],
  ['cpu-rt-runtime', 'cpu', 'realtimeRuntime'],
  ['memory', 'memory', 'limit'],
  ['memory-reservation', 'memory', 'reservation'],
  ['memory-swap', 'memory', 'swap'],
  ['pids-limit', 'pids', 'limit'],
];
const TEXTS: readonly (readonly [Name, string])[] = [
  ['cpuset-cpus', 'cpus'],
  ['cpuset-mems', 'mems'],
];

type Resources = Record<string, Record<string, unknown>>;

export const updateCommand = defineOciCommand({
  name: 'update',
  summary: 'change the limits of a running container',
  usage: '[OPTIONS] ID',
  words: oneId,
  options,
  async run(values, [id = ''], globals) {
    const record = new ContainerDirectory(globals.root, id).require();
    const resources = resourcesOf(values);
    await using client = await reachAgent(record.agent);
    await client.call('container.update', { id, resources });
    return 0;
  },
});

function resourcesOf(values: Values): Resources {
  if (values.resources !== undefined) {
    return readObject<Resources>(values.resources === '-' ? 0 : values.resources);
  }
  const resources: Resources = {};
  const put = (section: string, name: string, value: unknown): void => {
    resources[section] = { ...resources[section], [name]: value };
  };
  for (const [option, section, name] of NUMBERS) {
    const given = values[option];
    if (given === undefined) continue;
    put(section, name, (section === 'memory' ? bytesOf : numberOf)(option, given));
  }
  for (const [option, name] of TEXTS) {
    const given = values[option];
    if (given !== undefined) put('cpu', name, given);
  }
  return resources;
}

/** Bytes as runc takes them, with a suffix of binary thousands: "64M", "1.5gb", "512KiB". */
function bytesOf(option: string, given: string): number {
  const [, number = '', unit = ''] = /^(-1|\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(given) ?? [];
  if (number === '') throw new OciError(`invalid value for ${option}: invalid size: '${given}'`);
  return Math.floor(Number(number) * 1024 ** ' kmgtp'.indexOf(unit.toLowerCase() || ' '));
}

function numberOf(option: string, given: string): number {
  if (!/^-?\d{1,15}$/.test(given)) {
    throw new OciError(`invalid value for ${option}: ${JSON.stringify(given)}`);
  }
  return Number(given);
}
