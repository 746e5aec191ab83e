import { defaultProcess } from '../../client/spec.ts';
import type { OciUser } from '../../spec/oci.ts';
import { attach } from '../attach.ts';
import { defineCommand } from '../command.ts';
import { UsageError } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { interruptBySignal, openStanding } from '../session.ts';
import { terminalSize } from '../terminal.ts';
import { parseEnvironment } from '../values.ts';

export const execCommand = defineCommand({
  name: 'exec',
  summary: 'run another command in a container',
  usage: ['[OPTIONS] ID [--] COMMAND…'],
  description: [
    'Runs a command in a container that exists, with its streams connected here, and exits with its code. Names for --user are looked up in the container.',
  ],
  options: {
    ...hostOptions,
    interactive: { kind: 'flag', short: 'i', help: 'connect stdin' },
    tty: { kind: 'flag', short: 't', help: 'give the process a terminal' },
    env: { kind: 'list', short: 'e', value: 'NAME[=VALUE]', help: 'environment variable' },
    cwd: { kind: 'text', short: 'w', value: 'DIR', help: 'working directory (default /)' },
    user: { kind: 'text', short: 'u', value: 'USER[:GROUP]', help: 'names or numbers' },
  },
  commandAt: 1,
  examples: [
    ['exec -it web sh', 'a shell in the container'],
    ['exec --user nobody web id', 'as another user'],
  ],
  exitCodes: [
    ['126', 'the command cannot be executed'],
    ['127', 'the command was not found'],
    ['other', 'exit code of the command, 128+N when signal N ended it'],
  ],
  async run(values, [id, ...args], io) {
    if (id === undefined) throw new UsageError('the ID of the container is missing');
    if (args.length === 0) throw new UsageError('the COMMAND to run is missing');
    const size = terminalSize(io);
    const term = io.env.TERM === undefined ? [] : [`TERM=${io.env.TERM}`];
    const process = defaultProcess({
      args,
      env: [...(values.tty ? term : []), ...parseEnvironment(values.env, io)],
      terminal: values.tty,
      ...(size === undefined ? {} : { size }),
      ...(values.cwd === undefined ? {} : { cwd: values.cwd }),
      ...(values.user === undefined ? {} : { user: execUser(values.user) }),
    });
    const abort = new AbortController();
    using signals = interruptBySignal(abort);
    await using session = await openStanding(values, io, abort.signal);
    const streams = { stdin: values.interactive };
    const container = session.guest.container(id);
    await using running = await container.exec(process, streams, { signal: abort.signal });
    const kill = (): Promise<boolean> => running.signal(9);
    return await attach(running, { io, signals, terminal: values.tty, kill });
  },
});

/** The guest resolves every form; only two plain numbers need no lookup. */
function execUser(text: string): OciUser {
  const numbers = /^(\d+):(\d+)$/.exec(text);
  if (numbers === null) return { username: text };
  return { uid: Number(numbers[1]), gid: Number(numbers[2]) };
}
