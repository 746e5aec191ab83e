import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { linuxResources } from '../../client/spec.ts';
import { parseJson } from '../../json.ts';
import type { OciLinuxResources } from '../../spec/oci.ts';
import { defineCommand } from '../command.ts';
import { containerOptions } from '../container-options.ts';
import { forEachContainer, someIds } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { CliError, UsageError } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { isRecord, parseBytes } from '../values.ts';

export const updateCommand = defineCommand({
  name: 'update',
  summary: 'change the limits of containers',
  usage: ['[OPTIONS] ID…'],
  description: [
    'Changes the limits that are named; the others stay. --resources takes what runc update takes: the linux.resources object of an OCI specification.',
  ],
  options: {
    ...doorOptions,
    memory: containerOptions.memory,
    cpus: containerOptions.cpus,
    pids: containerOptions.pids,
    resources: { kind: 'text', value: 'FILE', help: 'OCI resources as JSON; - is stdin' },
  },
  completes: 'containers',
  examples: [
    ['update --memory 128m --cpus 2 web', 'two limits'],
    ['update --resources limits.json web', 'anything OCI knows'],
  ],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    const { memory, cpus, pids } = values;
    const named = linuxResources({
      ...(memory === undefined ? {} : { memory: parseBytes('--memory', memory) }),
      ...(cpus === undefined ? {} : { cpus }),
      ...(pids === undefined ? {} : { pids }),
    });
    const file = values.resources === undefined ? {} : await readResources(values.resources, io);
    const resources = { ...file, ...named };
    if (Object.keys(resources).length === 0) {
      throw new UsageError('nothing to change: give --memory, --cpus, --pids or --resources');
    }
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    return await forEachContainer(door, words, io, (id) =>
      client.call('container.update', { id, resources }, { signal }),
    );
  },
});

async function readResources(file: string, io: Io): Promise<OciLinuxResources> {
  try {
    const text =
      file === '-' ? await readText(io.stdin) : readFileSync(resolve(io.cwd, file), 'utf8');
    const resources = parseJson(text);
    if (isRecord(resources)) return resources;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(`cannot read the resources from ${file}: ${reason}`, { cause });
  }
  throw new CliError(`${file} holds no JSON object`);
}
