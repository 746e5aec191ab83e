import type { Fd } from './fd.ts';

export type RelayEnd =
  /** Source reached its end and every byte was delivered. */
  | 'eof'
  /** Destination went away (EPIPE, ECONNRESET, peer closed): bytes may be undelivered. */
  | 'destination-closed'
  /** cancel() was called. */
  | 'cancelled'
  /** Another error; see `errno`. */
  | 'error';

export interface RelayResult {
  end: RelayEnd;
  /** Bytes delivered to the destination. */
  bytes: number;
  /** errno(3) when `end` is 'error' or 'destination-closed' by an error, else 0. */
  errno: number;
}

export interface RelayOptions {
  source: Fd;
  destination: Fd;
  /** 'splice' needs a pipe at one end at least; 'copy' reads and writes (ptys). */
  method: 'splice' | 'copy';
  /** Also write every byte to this descriptor (a log file); its errors stop the tee, not the relay. */
  tee?: Fd;
  /** End as soon as the destination's peer has closed, also while the source is silent. */
  watchDestination?: boolean;
  /** Treat EIO from the source as its end (pty masters at hang-up, see pty(7)). */
  eioIsEof?: boolean;
}

/**
 * One direction of a stream, moved by a native thread with no copy through the JS heap. The
 * descriptors stay the caller's and must stay open until `done` has settled.
 */
export declare class NativeRelay {
  static start(options: RelayOptions): NativeRelay;
  readonly done: Promise<RelayResult>;
  /** Bytes delivered so far. */
  readonly bytes: number;
  /** Stops at the next safe point; `done` then resolves with 'cancelled' (or how it ended first). */
  cancel(): void;
}
