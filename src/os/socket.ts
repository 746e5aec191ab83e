import type { Socket } from 'node:net';
import type { Fd } from './fd.ts';

export interface ConnectOptions {
  /** Milliseconds until the attempt fails with ETIMEDOUT; default: none of our own. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A listening socket that hands out raw, non-blocking, close-on-exec descriptors (accept4 on uv_poll, no thread). */
export interface FdListener extends Disposable {
  /** The next connection. Rejects with the signal's reason, or with OsError ECANCELED once closed. */
  accept(options?: { signal?: AbortSignal }): Promise<Fd>;
  close(): void;
}

/** vsock(7): CID of the machine a guest runs on. */
export const VMADDR_CID_HOST = 2;
/** vsock(7): local loopback. */
export const VMADDR_CID_LOCAL = 1;
/** vsock(7): any CID, for bind. */
export const VMADDR_CID_ANY = 0xffffffff;

/** Non-blocking connect to an AF_VSOCK address; one attempt. Rejects with OsError (ECONNRESET or ECONNREFUSED: nobody listens; ENODEV: no transport to that CID; ETIMEDOUT). */
export declare function connectVsock(
  cid: number,
  port: number,
  options?: ConnectOptions,
): Promise<Fd>;
export declare function listenVsock(cid: number, port: number, backlog?: number): FdListener;
/** Non-blocking connect to a unix stream socket. Paths longer than sun_path (107 bytes) are reached through /proc/self/fd. */
export declare function connectUnix(path: string, options?: ConnectOptions): Promise<Fd>;
/** Binds (mode 0600) and listens. A stale socket file nobody listens on is replaced; a live one is EADDRINUSE. The file is removed by close(). */
export declare function listenUnix(path: string, backlog?: number): FdListener;
/** A connected pair of unix stream sockets, non-blocking, close-on-exec. */
export declare function socketPair(): [Fd, Fd];
/** shutdown(2). ENOTCONN is not an error: the peer may have gone first. */
export declare function shutdown(fd: Fd | number, how: 'read' | 'write' | 'both'): void;
/** Wraps any stream socket (unix, vsock) in a net.Socket with allowHalfOpen. Takes ownership of the descriptor. Bytes in `head` are delivered first. */
export declare function toDuplex(fd: Fd, options?: { head?: Uint8Array }): Socket;
/** recvmsg(2) with SCM_RIGHTS: waits for one message and returns its descriptors and data. Rejects at EOF without a message. */
export declare function receiveFds(
  fd: Fd,
  options?: { signal?: AbortSignal; maxFds?: number },
): Promise<{ fds: Fd[]; data: Buffer }>;
/** sendmsg(2) with SCM_RIGHTS; the descriptors stay the caller's. */
export declare function sendFds(fd: Fd, data: Uint8Array, fds: readonly Fd[]): void;
