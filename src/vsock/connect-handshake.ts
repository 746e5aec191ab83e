import { readSync, writeSync } from 'node:fs';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { untilReady } from '../os/poll.ts';
import { failure, isPort } from './failure.ts';
import type { Port } from './transport.ts';

/**
 * The two lines that open a host's connection to a guest port in Firecracker's hybrid vsock
 * (firecracker/docs/vsock.md): "CONNECT port\n" from the host, "OK port\n" from the guest's side,
 * then a plain byte stream. A refusal is a close without a line.
 */

/** Longest line taken, without its newline: twice what a well-formed one needs. */
export const MAX_LINE_BYTES = 32;

interface Place {
  transport: string;
  port?: Port;
  operation: string;
}

const NEWLINE = 0x0a;

/**
 * One line, without its newline; undefined at the end of the stream. Not a byte after the newline
 * is taken off the socket: the descriptor may be given to a process next, and what is behind the
 * line is that process's input. Hence one byte a call; the line is 19 bytes at most.
 * Rejects with the signal's reason, TransportError 'protocol', or the error of read(2).
 */
async function readLine(fd: Fd, place: Place, signal: AbortSignal): Promise<string | undefined> {
  const line = Buffer.alloc(MAX_LINE_BYTES + 1);
  let length = 0;
  for (;;) {
    signal.throwIfAborted();
    const count = readByte(fd, line, length);
    if (count === undefined) {
      await untilReady(fd.raw, { read: true }, { signal });
    } else if (count === 0) {
      if (length === 0) return undefined;
      throw failure('protocol', place, `the stream ended within the line ${quote(line, length)}`);
    } else if (line[length] === NEWLINE) {
      return line.toString('latin1', 0, length);
    } else {
      length += 1;
      if (length > MAX_LINE_BYTES)
        throw failure('protocol', place, `no line within ${MAX_LINE_BYTES} bytes`);
    }
  }
}

/** Bytes read, 0 at the end, undefined when there is nothing to read yet. */
function readByte(fd: Fd, into: Buffer, at: number): number | undefined {
  try {
    return readSync(fd.raw, into, at, 1, null);
  } catch (error) {
    if (hasCode(error, 'EAGAIN')) return undefined;
    if (hasCode(error, 'EINTR')) return undefined;
    throw error;
  }
}

/** The peer wrote these bytes: they go into an error only as JSON, so that no log line breaks. */
function quote(line: Buffer, length: number): string {
  return JSON.stringify(line.toString('latin1', 0, length));
}

/**
 * Writes one line to a socket that nothing was written to yet: its buffer is empty, so a handful
 * of bytes go in at once or the connection is broken.
 */
function writeLine(fd: Fd, line: string): void {
  writeSync(fd.raw, `${line}\n`);
}

/**
 * Guest's side: reads "CONNECT port". As in Firecracker the word's case does not matter and a
 * carriage return before the newline is ignored. Rejects with the signal's reason, TransportError
 * 'protocol' for anything else, or the error of read(2).
 */
export async function readConnect(fd: Fd, place: Place, signal: AbortSignal): Promise<Port> {
  const line = await readLine(fd, place, signal);
  if (line === undefined) throw failure('protocol', place, 'closed without a CONNECT line');
  const digits = /^CONNECT ([0-9]{1,10})\r?$/i.exec(line)?.[1];
  const port = Number(digits);
  if (digits === undefined || !isPort(port))
    throw failure('protocol', place, `expected "CONNECT port", got ${JSON.stringify(line)}`);
  return port;
}

/** Guest's side: confirms; `source` is the number of the host's end of this connection. */
export function writeOk(fd: Fd, source: Port): void {
  writeLine(fd, `OK ${source}`);
}

/**
 * Host's side: asks for a port and waits for the confirmation. Rejects with the signal's reason,
 * TransportError 'refused' when the peer closed (no such port, or nobody there), 'protocol' when
 * it answered anything else, or the error of a system call.
 */
export async function requestConnect(
  fd: Fd,
  place: Place & { port: Port },
  signal: AbortSignal,
): Promise<void> {
  writeLine(fd, `CONNECT ${place.port}`);
  const line = await readLine(fd, place, signal);
  if (line === undefined) throw failure('refused', place, 'nobody in the guest listens on it');
  if (!/^OK [0-9]{1,10}\r?$/.test(line))
    throw failure('protocol', place, `expected "OK number", got ${JSON.stringify(line)}`);
}
