/** Bounds of the bridge, with their reasons; LIMITS.md lists them with their tests. */
export const bridgeLimits = {
  /**
   * Bytes of a message from the host, header included. Long Create specs are below 1 MiB; the
   * limit leaves room and is judged from the header, before a byte of the payload is kept.
   */
  frameBytes: 16 * 1024 * 1024,
  /** Bytes of a reply or notification, header included: a host ends the bridge over a longer one. */
  replyBytes: 65_536,
  /**
   * Bytes of an error text once it is written as JSON. It stands twice in a reply, and the
   * interesting part of a longer one is its beginning and its end: the middle is cut.
   */
  errorTextBytes: 16_384,
  /** Bytes of a faulty request that its error quotes. */
  quotedBytes: 1024,
  /**
   * Requests not yet answered on one connection; one more is answered with an error. A process
   * has one WaitForProcess open for all its life, so this bounds the processes a host can watch; a
   * pending wait takes about 3 KiB.
   */
  pendingRequests: 16_384,
  /** Payload bytes of the requests not yet answered; one more is answered with an error. */
  pendingBytes: 64 * 1024 * 1024,
  /** Bytes of replies the host has not read; above it nothing more is read from the host. */
  unreadReplyBytes: 1024 * 1024,
  /**
   * The same, for the replies of requests that were under way when reading stopped: above it the
   * host is taken for dead and the connection is closed and dialed again.
   */
  abandonedReplyBytes: 64 * 1024 * 1024,
  /** Exit notifications that wait for the next connection; beyond it the oldest is dropped and logged. */
  waitingNotifications: 16_384,
  /** Milliseconds between two attempts to reach the host. */
  redialMs: 100,
} as const;

export type BridgeLimits = { readonly [K in keyof typeof bridgeLimits]: number };
