/** What an FdPoll waits for; POLLHUP and POLLERR are always reported. */
export type Readiness = { readable: boolean; writable: boolean; hangup: boolean };

/**
 * uv_poll on one descriptor: the event loop wakes when it is ready, no thread is blocked. The
 * descriptor stays the caller's and must outlive the poll. The native side keeps the poll alive
 * until it is closed, so an unreferenced poll is never garbage-collected while it waits.
 */
export declare class FdPoll implements Disposable {
  constructor(
    fd: number,
    interest: { read?: boolean; write?: boolean; disconnect?: boolean },
    onReady: (ready: Readiness) => void,
  );
  /** Stops and starts delivery without giving up the handle. */
  pause(): void;
  resume(): void;
  /** Keep (default) or do not keep the event loop alive. */
  ref(): void;
  unref(): void;
  close(): void;
  [Symbol.dispose](): void;
}
/** Resolves when `fd` is ready; rejects with the signal's reason. */
export declare function untilReady(
  fd: number,
  interest: { read?: boolean; write?: boolean },
  options?: { signal?: AbortSignal },
): Promise<Readiness>;
