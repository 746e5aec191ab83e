import { constants } from 'node:os';
import type { CriLogFile } from './cri-log-file.ts';
import { check } from './errors.ts';
import { type Fd, rawOf } from './fd.ts';
import { native, type RelayHandle } from './native.ts';

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
  /** Bytes taken from the source that the destination did not get. Those in `through` are there still; otherwise 0 for a splice that did not fall back to copying. */
  undelivered: number;
  /** errno(3) that stopped the tee, else 0. */
  teeErrno: number;
  /** errno(3) of the first entries that the CRI log could not take, else 0. */
  logErrno: number;
  /** errno(3) with which the destination went and the sink took its place, else 0. */
  lostErrno: number;
}

export type RelayNews = 'tee-stopped' | 'log-lost' | 'destination-lost';

export interface RelayOptions {
  source: Fd;
  destination: Fd;
  /**
   * 'splice' needs a pipe at one end at least; 'copy' reads and writes (ptys). Where the kernel
   * cannot splice the two, they are copied.
   */
  method: 'splice' | 'copy';
  /**
   * A pipe for the bytes that have left the source and are not yet in the destination, which whoever
   * has its ends can go on with; for ptys. Where the kernel cannot splice, they are copied, and the
   * pipe is only emptied. Like the other descriptors it stays the caller's.
   */
  through?: { read: Fd; write: Fd };
  /**
   * Also write every byte to this descriptor (a log file), before it is delivered; its errors stop
   * the tee, not the relay. A slow one slows the relay.
   */
  tee?: Fd;
  /** Also write every byte to this log, as the tee; entries it cannot take are lost, and it goes on. */
  criLog?: { log: CriLogFile; stream: 'stdout' | 'stderr' };
  /** Takes the place of a destination whose peer has gone, which then does not end the relay. */
  sink?: Fd;
  /** Called once for each: the tee was stopped, the CRI log lost entries, the sink has taken over and the destination may be closed. */
  onNews?: (news: RelayNews) => void;
  /** End as soon as the destination's peer has closed, also while the source is silent. A peer that only half-closes does not end it. */
  watchDestination?: boolean;
  /** Treat EIO from the source as its end (pty masters at hang-up, see pty(7)). */
  eioIsEof?: boolean;
}

// enum relay_flags and enum relay_end of native/addon/relay_pump.h
const SPLICE = 1;
const WATCH_DESTINATION = 2;
const EIO_IS_EOF = 4;
const ends: readonly RelayEnd[] = ['eof', 'destination-closed', 'cancelled', 'error'];

function flagsOf(options: RelayOptions): number {
  return (
    (options.method === 'splice' ? SPLICE : 0) |
    (options.watchDestination === true ? WATCH_DESTINATION : 0) |
    (options.eioIsEof === true ? EIO_IS_EOF : 0)
  );
}

/** In the order that relayStart takes them. */
function descriptorsOf(options: RelayOptions): Int32Array {
  const { source, destination, tee, through, sink } = options;
  const all = [source, destination, tee, through?.read, through?.write, sink];
  return Int32Array.from(all, (fd) => fd?.raw ?? -1);
}

/**
 * One direction of a stream, moved by a native thread with no copy through the JS heap. The
 * descriptors stay the caller's and must stay open until `done` has settled. Source and
 * destination become non-blocking, which holds for every duplicate of them too.
 */
export class NativeRelay {
  readonly done: Promise<RelayResult>;
  readonly #handle: RelayHandle;
  readonly #settle: (result: RelayResult) => void;
  readonly #barriers: { sequence: number; resolve: () => void }[] = [];
  readonly #onNews: ((news: RelayNews) => void) | undefined;
  readonly #told = new Set<RelayNews>();
  #ended = false;

  /** Throws OsError when there is no descriptor (EMFILE) or thread (EAGAIN) left. */
  static start(options: RelayOptions): NativeRelay {
    return new NativeRelay(options);
  }

  private constructor(options: RelayOptions) {
    const { promise, resolve } = Promise.withResolvers<RelayResult>();
    this.done = promise;
    this.#settle = resolve;
    this.#onNews = options.onNews;
    const { criLog } = options;
    const handle = native().relayStart(
      descriptorsOf(options),
      flagsOf(options),
      criLog?.log.handle ?? null,
      criLog?.stream === 'stderr' ? 1 : 0,
      (barrier, end, errno, undelivered, teeErrno, logErrno, lostErrno) => {
        const errnos = { teeErrno, logErrno, lostErrno };
        this.#tell(errnos);
        if (end < 0) this.#passBarriers(barrier);
        else this.#finish(ends[end] ?? 'error', { errno, undelivered, ...errnos });
      },
    );
    if (typeof handle === 'number') {
      check('relay', handle);
      throw new TypeError('native relay without a handle');
    }
    this.#handle = handle;
  }

  /** Bytes delivered so far. */
  get bytes(): number {
    return native().relayBytes(this.#handle);
  }

  /** Stops at the next safe point; `done` then resolves with 'cancelled' (or how it ended first). */
  cancel(): void {
    if (!this.#ended) native().relayCancel(this.#handle);
  }

  /**
   * Resolves when every byte that the source held at the time of the call has been delivered, or
   * the relay has ended. Exact also while others go on writing to the source; for a pty, which
   * does not tell all it holds, it may take up to 64 KiB more.
   */
  barrier(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#barriers.push({ sequence: native().relayBarrier(this.#handle), resolve });
    return promise;
  }

  #passBarriers(passed: number): void {
    while ((this.#barriers[0]?.sequence ?? Number.POSITIVE_INFINITY) <= passed)
      this.#barriers.shift()?.resolve();
  }

  #tell(errnos: { teeErrno: number; logErrno: number; lostErrno: number }): void {
    const all: [RelayNews, number][] = [
      ['tee-stopped', errnos.teeErrno],
      ['log-lost', errnos.logErrno],
      ['destination-lost', errnos.lostErrno],
    ];
    for (const [news, errno] of all) {
      if (errno === 0 || this.#told.has(news)) continue;
      this.#told.add(news);
      this.#onNews?.(news);
    }
  }

  #finish(end: RelayEnd, rest: Omit<RelayResult, 'end' | 'bytes'>): void {
    this.#ended = true;
    this.#settle({ end, bytes: this.bytes, ...rest });
    this.#passBarriers(Number.MAX_SAFE_INTEGER);
  }
}

/**
 * Bytes written to a socket that its peer has not read yet (SIOCOUTQ, unix(7)); 0 where the kernel
 * cannot tell, which for vsock depends on its version.
 */
export function bytesUnread(fd: Fd | number): number {
  const result = native().bytesUnread(rawOf(fd));
  const { ENOTTY, EOPNOTSUPP } = constants.errno;
  if (result === -ENOTTY || result === -EOPNOTSUPP) return 0;
  return check('ioctl SIOCOUTQ', result);
}
