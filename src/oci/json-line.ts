import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** More than any plan: a process with the largest environment a kernel takes (execve(2), 2 MiB). */
const LINE_MAX = 8 * 1024 * 1024;

/** One JSON value and a line feed from a socket; undefined when it ends before. */
export async function readJsonLine(socket: Socket): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    const end = chunk.indexOf(0x0a);
    chunks.push(end < 0 ? chunk : chunk.subarray(0, end));
    length += chunk.length;
    if (end >= 0) return JSON.parse(Buffer.concat(chunks).toString());
    if (length > LINE_MAX) throw new Error(`a message of more than ${LINE_MAX} bytes`);
  }
  return undefined;
}

export function writeJsonLine(socket: Socket, value: unknown): void {
  socket.write(`${JSON.stringify(value)}\n`);
}

/** Connects to a unix socket. Rejects with the error of connect(2). */
export async function connectTo(path: string): Promise<Socket> {
  const socket = connect({ path });
  await once(socket, 'connect');
  return socket;
}
