import { DEFAULT_PATH } from '../../client/spec.ts';
import { attach } from '../attach.ts';
import { defineCommand } from '../command.ts';
import { interactiveOption, programExitCodes, ttyOption } from '../common-options.ts';
import { UsageError } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { interruptBySignal, openStanding } from '../session.ts';
import { terminalSize } from '../terminal.ts';
import { parseEnvironment, terminalVariable } from '../values.ts';

export const vmExecCommand = defineCommand({
  name: 'vm-exec',
  aliases: ['exec-uvm'],
  summary: 'run a command in the VM itself, outside every container',
  usage: ['[OPTIONS] [--] COMMAND…'],
  description: [
    'Runs a command beside the agent, with the agent’s rights, and exits with its code. Without a VM that is the machine the agent runs on.',
  ],
  options: {
    ...hostOptions,
    interactive: interactiveOption,
    tty: ttyOption,
    env: { kind: 'list', short: 'e', value: 'NAME[=VALUE]', help: 'environment variable' },
    cwd: { kind: 'text', short: 'w', value: 'DIR', help: 'working directory (default /)' },
  },
  commandAt: 0,
  examples: [
    ['vm-exec uname -a', 'the guest’s kernel'],
    ['vm-exec -it sh', 'a shell in the VM'],
  ],
  exitCodes: [...programExitCodes, ['other', 'exit code of the command']],
  async run(values, args, io) {
    if (args.length === 0) throw new UsageError('the COMMAND to run is missing');
    const size = values.tty ? terminalSize(io) : undefined;
    const term = values.tty ? [terminalVariable(io)] : [];
    const entries = [`PATH=${DEFAULT_PATH}`, ...term, ...parseEnvironment(values.env, io)];
    const abort = new AbortController();
    using signals = interruptBySignal(abort);
    await using session = await openStanding(values, io, abort.signal);
    await using running = await session.guest.execInGuest(
      {
        args,
        env: Object.fromEntries(entries.map(splitEntry)),
        cwd: values.cwd ?? '/',
        terminal: values.tty,
        stdin: values.interactive,
        ...(size === undefined ? {} : { size }),
      },
      { signal: abort.signal },
    );
    const kill = (): Promise<boolean> => running.signal(9);
    return await attach(running, { io, signals, terminal: values.tty, kill });
  },
});

function splitEntry(entry: string): [string, string] {
  const equals = entry.indexOf('=');
  return [entry.slice(0, equals), entry.slice(equals + 1)];
}
