import type { OciProcess, OciUser } from '../../spec/oci.ts';
import { attach } from '../attach.ts';
import { defineCommand } from '../command.ts';
import { interactiveOption, programExitCodes, ttyOption } from '../common-options.ts';
import { findContainer } from '../door/names.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { attached } from '../door/process.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { terminalSize } from '../terminal.ts';
import { parseEnvironment, terminalVariable } from '../values.ts';

export const execCommand = defineCommand({
  name: 'exec',
  summary: 'run another command in a container',
  usage: ['[OPTIONS] ID [--] COMMAND…'],
  description: [
    'Runs a command in a container that runs, with its streams connected here, and exits with its code. Environment, directory, user and rights are those of the container’s own command unless told otherwise. Names for --user are looked up in the container.',
  ],
  options: {
    ...doorOptions,
    interactive: interactiveOption,
    tty: ttyOption,
    detach: { kind: 'flag', short: 'd', help: 'do not wait for it; print its name and return' },
    env: { kind: 'list', short: 'e', value: 'NAME[=VALUE]', help: 'environment variable' },
    cwd: { kind: 'text', short: 'w', value: 'DIR', help: 'working directory' },
    user: { kind: 'text', short: 'u', value: 'USER[:GROUP]', help: 'names or numbers' },
    'process-id': { kind: 'text', value: 'NAME', help: 'for top, wait, kill and attach' },
  },
  completes: 'container',
  commandAt: 1,
  examples: [
    ['exec -it web sh', 'a shell in the container'],
    ['exec --user nobody web id', 'as another user'],
    [
      'exec -d --process-id watch web -- top -b',
      'beside the others; "attach --process-id watch" joins it',
    ],
  ],
  exitCodes: [
    ...programExitCodes,
    ['other', 'exit code of the command, 128+N when signal N ended it'],
  ],
  async run(values, [word, ...args], io) {
    if (word === undefined) throw new UsageError('the ID of the container is missing');
    if (args.length === 0) throw new UsageError('the COMMAND to run is missing');
    const { detach, interactive, tty: terminal } = values;
    if (detach && interactive)
      throw new UsageError('--detach and --interactive exclude each other');
    const size = terminalSize(io);
    const term = terminal ? [terminalVariable(io)] : [];
    const env = [...term, ...parseEnvironment(values.env, io)];
    await using door = await openDoor(values, io);
    const id = await findContainer(door, word);
    const process: OciProcess = {
      args,
      terminal,
      ...(terminal && size !== undefined ? { consoleSize: size } : {}),
      ...(env.length === 0 ? {} : { env: await withEnvironment(door, id, env) }),
      ...(values.cwd === undefined ? {} : { cwd: values.cwd }),
      ...(values.user === undefined ? {} : { user: execUser(values.user) }),
    };
    const { client, signal, signals } = door;
    const name = values['process-id'];
    const options = { signal, ...(name === undefined ? {} : { processId: name }) };
    const wanted = detach ? {} : { stdin: interactive, stdout: true, stderr: !terminal };
    const running = await client.exec(id, process, wanted, options);
    if (detach) {
      io.stdout.write(`${running.processId}\n`);
      return EXIT_OK;
    }
    return await attach(attached(running), {
      io,
      signals,
      terminal,
      kill: () => running.signal(9),
    });
  },
});

/** The container's own with these changed or added. */
async function withEnvironment(
  { client, signal }: Door,
  containerId: string,
  changes: readonly string[],
): Promise<string[]> {
  const { process } = await client.call('process.spec', { containerId }, { signal });
  const named = new Map(
    [...(process.env ?? []), ...changes].map((entry) => [nameOf(entry), entry]),
  );
  return [...named.values()];
}

function nameOf(entry: string): string {
  const [name = ''] = entry.split('=', 1);
  return name;
}

/** The guest resolves every form; only two plain numbers need no lookup. */
function execUser(text: string): OciUser {
  const numbers = /^(\d+):(\d+)$/.exec(text);
  if (numbers === null) return { username: text };
  return { uid: Number(numbers[1]), gid: Number(numbers[2]) };
}
