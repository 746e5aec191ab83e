import { createReadStream, createWriteStream, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { Duplex, type Readable, type Writable } from 'node:stream';
import { isatty, ReadStream as TtyReadStream, WriteStream as TtyWriteStream } from 'node:tty';
import type { Fd } from '../os/fd.ts';
import { toDuplex } from '../os/socket.ts';

/** True when both are one socket, as a supervisor that hands over a connection makes them. */
export function isOneSocket(input: Fd, output: Fd): boolean {
  const a = fstatSync(input.raw);
  const b = fstatSync(output.raw);
  return a.isSocket() && b.isSocket() && a.ino === b.ino && a.dev === b.dev;
}

/**
 * One Duplex over a descriptor to read and one to write; owns both. Ending the writable side
 * closes `output`, which the peer of a pipe or socket sees as the end of the stream; reading goes
 * on until `input` ends.
 */
export function pairStream(input: Fd, output: Fd): Duplex {
  const readable = readableOf(input);
  const writable = writableOf(output);
  return Duplex.from({ readable, writable });
}

function readableOf(fd: Fd): Readable {
  const stat = fstatSync(fd.raw);
  if (stat.isSocket()) {
    const socket = toDuplex(fd);
    // Its other direction is never used: without this the descriptor would stay open after the end.
    socket.once('end', () => socket.destroy());
    return socket;
  }
  if (stat.isFIFO()) return new Socket({ fd: fd.take(), readable: true, writable: false });
  if (isatty(fd.raw)) return new TtyReadStream(fd.take());
  // Regular files and devices like /dev/null are always ready: nothing to wait for with epoll(7).
  return createReadStream('', { fd: fd.take() });
}

function writableOf(fd: Fd): Writable {
  const stat = fstatSync(fd.raw);
  if (stat.isSocket()) {
    const socket = toDuplex(fd);
    socket.once('finish', () => socket.destroy());
    return socket;
  }
  if (stat.isFIFO()) return new Socket({ fd: fd.take(), readable: false, writable: true });
  if (isatty(fd.raw)) return new TtyWriteStream(fd.take());
  return createWriteStream('', { fd: fd.take() });
}
