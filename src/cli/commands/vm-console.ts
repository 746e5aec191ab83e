import { once } from 'node:events';
import { connect } from 'node:net';
import { defineCommand } from '../command.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { SignalWatch } from '../signals.ts';
import { rawMode } from '../terminal.ts';
import { DEFAULT_VM, vmTarget } from '../vm-target.ts';

/** Ctrl-], as telnet(1) has it. */
const LEAVE = 0x1d;

export const vmConsoleCommand = defineCommand({
  name: 'vm console',
  summary: 'see and use the console of a virtual machine',
  usage: ['[NAME]'],
  description: [
    'Shows what the guest writes from now on and types into it. Ctrl-] leaves. There is somebody to type to when the VM was started with "vm up --shell"; what was written before is in "vm logs --console".',
  ],
  completes: 'vm',
  options: {},
  examples: [['vm console', 'of the VM "default"']],
  async run(_values, [name, ...more], io) {
    if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}"`);
    const { directory } = vmTarget(name ?? DEFAULT_VM, io);
    const socket = connect(directory.console);
    await once(socket, 'connect');
    if (io.stdin.isTTY === true) io.stderr.write('Ctrl-] leaves the console.\r\n');
    using _raw = rawMode(io);
    using _signals = new SignalWatch(() => socket.destroy());
    socket.on('data', (bytes: Buffer) => io.stdout.write(bytes));
    socket.on('error', () => {});
    io.stdin.on('data', (bytes: Buffer | string) => {
      const typed = Buffer.from(bytes);
      const end = typed.indexOf(LEAVE);
      if (end !== 0) socket.write(end < 0 ? typed : typed.subarray(0, end));
      if (end >= 0) socket.end();
    });
    io.stdin.once('end', () => socket.end());
    await once(socket, 'close');
    return EXIT_OK;
  },
});
