import { attachUntil, DETACHED } from '../attach.ts';
import { defineCommand } from '../command.ts';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../detach-filter.ts';
import { findContainer } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { attached } from '../door/process.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { onlyPositional } from '../values.ts';

export const attachCommand = defineCommand({
  name: 'attach',
  summary: 'join the streams of a container that runs by itself',
  usage: ['[OPTIONS] ID'],
  description: [
    'Shows what the command of a container writes from now on and gives it what is typed, until it has ended; exits with its code. Any number of terminals may be attached at a time. For what was written before there is "gcsctl logs".',
    'It takes a container that was started with "run -d" or "start -d", or a process of "exec -d". At a terminal, ctrl-p ctrl-q leaves it running. Without a terminal, SIGINT and the like are passed on to it; with one, a signal ends gcsctl alone.',
  ],
  options: {
    ...doorOptions,
    stdin: { kind: 'flag', default: true, help: 'connect stdin' },
    'detach-keys': {
      kind: 'text',
      value: 'KEYS',
      help: `keys that leave (default ${DEFAULT_DETACH_KEYS}; "" for none)`,
    },
    'sig-proxy': { kind: 'flag', default: true, help: 'pass signals on' },
    'process-id': { kind: 'text', value: 'NAME', help: 'this process instead of init' },
  },
  completes: 'container',
  examples: [
    ['attach web', 'join it'],
    ['attach --no-stdin web', 'only look'],
    ['attach --detach-keys ctrl-] web', 'other keys to leave'],
  ],
  exitCodes: [['other', 'exit code of the command, 128+N when signal N ended it']],
  async run(values, positionals, io) {
    const word = onlyPositional(positionals, 'the ID of the container');
    const detachKeys = parseDetachKeys(values['detach-keys'] ?? DEFAULT_DETACH_KEYS);
    await using door = await openDoor(values, io);
    const { client, signal, signals } = door;
    const id = await findContainer(door, word);
    const processId = values['process-id'] ?? 'init';
    const { terminal } = await client.call(
      'process.state',
      { containerId: id, processId },
      { signal },
    );
    const wanted = { stdin: values.stdin, stdout: true, stderr: !terminal };
    const process = await client.attach(id, processId, wanted, { signal });
    const outcome = await attachUntil(attached(process), {
      io,
      signals,
      terminal,
      detachKeys,
      // At a terminal keys are what the process gets; a signal is the window's end, not the container's.
      passSignals: values['sig-proxy'] && !(terminal && io.stdin.isTTY === true),
      kill: () => process.signal(9),
    });
    if (outcome !== DETACHED) return outcome;
    io.stderr.write(`\r\ngcsctl: detached from ${id}, which goes on\r\n`);
    return EXIT_OK;
  },
});
