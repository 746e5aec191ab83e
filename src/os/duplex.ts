import { Socket } from 'node:net';
import { check } from './errors.ts';
import type { Fd } from './fd.ts';
import { native } from './native.ts';

/** libuv's pipe handle as Node's net.Socket uses it; not a public interface, so kept to this file. */
interface PipeHandle {
  /** Adopts a descriptor. Returns a libuv error number below zero, undefined or 0 when it worked. */
  open(fd: number): number | undefined;
  close(): void;
}
type PipeConstructor = new (type: number) => PipeHandle;

const PIPE_SOCKET = 0;
let pipeConstructor: PipeConstructor | undefined;

/**
 * net.Socket refuses a descriptor whose family it does not know (vsock), but takes a handle, and
 * libuv's pipe handle works on any stream socket. process.binding, the other way to it, is
 * deprecated; so the constructor is taken from a socket that Node made itself.
 */
function pipeClass(): PipeConstructor {
  if (pipeConstructor !== undefined) return pipeConstructor;
  const ends = new Int32Array(2);
  check('socketpair', native().socketPair(ends));
  const [mine = -1, other = -1] = ends;
  native().close(other);
  const socket = new Socket({ fd: mine, readable: false, writable: false });
  const handle = (socket as unknown as { _handle: PipeHandle })._handle;
  pipeConstructor = handle.constructor as PipeConstructor;
  socket.destroy();
  return pipeConstructor;
}

/**
 * Wraps any stream socket (unix, vsock) in a net.Socket with allowHalfOpen. Takes ownership of the
 * descriptor, also when it fails. Bytes in `head` are delivered first.
 */
export function toDuplex(fd: Fd, options: { head?: Uint8Array } = {}): Socket {
  const handle = new (pipeClass())(PIPE_SOCKET);
  const raw = fd.take();
  const result = handle.open(raw) ?? 0;
  if (result < 0) {
    handle.close();
    native().close(raw);
    check('uv_pipe_open', result);
  }
  const init: { allowHalfOpen: true } = { allowHalfOpen: true, handle } as { allowHalfOpen: true };
  const socket = new Socket(init);
  const { head } = options;
  // The constructor has started reading, but no data arrives before this turn of the loop ends.
  if (head !== undefined && head.length > 0) socket.unshift(Buffer.from(head));
  return socket;
}
