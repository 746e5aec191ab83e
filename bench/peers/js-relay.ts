/**
 * The relay an agent would be without native threads: a child's output to a socket, or a socket to
 * a child's input, through JavaScript streams.
 *
 *   node js-relay.ts stdout|stdin|tty SOCKET COMMAND [ARGUMENT…]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { pipeline } from 'node:stream/promises';
import { ReadStream } from 'node:tty';
import { openPty } from '../../src/os/pty.ts';
import { Reaper } from '../../src/os/reaper.ts';

const [mode, path = '', file = '', ...args] = process.argv.slice(2);
const socket = net.connect({ path, allowHalfOpen: true });
await once(socket, 'connect');

if (mode === 'stdout') {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  await pipeline(child.stdout, socket);
} else if (mode === 'stdin') {
  const child = spawn(file, args, { stdio: ['pipe', 'ignore', 'ignore'] });
  const exited = once(child, 'exit');
  await pipeline(socket, child.stdin, { end: true });
  await exited;
} else {
  using reaper = Reaper.start();
  const pty = openPty({ width: 80, height: 24 });
  reaper.spawn({
    file,
    args: [file, ...args],
    env: [`PATH=${process.env.PATH}`],
    stdio: [],
    terminal: pty.path,
  });
  const master = new ReadStream(pty.master.take());
  // A terminal ends with EIO once nobody has it open any more.
  master.on('error', () => socket.end());
  master.on('end', () => socket.end());
  master.pipe(socket, { end: false });
  await once(socket, 'finish');
}
socket.destroy();
