const MiB = 1024 * 1024;

/** Bounds of the management door. LIMITS.md lists them. */
export const managementLimits = {
  /** Clients at one time; one more is closed. */
  clients: 64,
  /** Bytes of a request, judged from its header; the connection is closed. An OCI spec is most of it. */
  requestBytes: 16 * MiB,
  /** Bytes of the header of a message; the connection is closed. */
  headerBytes: 1024,
  /** Requests of one client that are not yet answered; one more is answered with an error. */
  pendingRequests: 256,
  /** Bytes of answers and events a client has not read; no more is read from it, and no event sent, until it has. */
  unreadBytes: MiB,
  /** The same for answers that were under way by then; the connection is closed. */
  abandonedBytes: 64 * MiB,
  /** Milliseconds a client has, at its end, to read what it was sent. */
  lingerMs: 5_000,
  /** Tokens for streams of one client that nobody has used. */
  streamTokens: 64,
  /** Milliseconds a token is good for. */
  streamTokenMs: 30_000,
  /** Peers on the port for streams that have not said their token; one more drops the oldest. */
  streamHandshakes: 256,
  /** Milliseconds for a peer to say it. */
  streamHandshakeMs: 5_000,
  /** Streams the agent itself serves at one time (logs, copies, profiles); a request for one more fails. */
  servedStreams: 64,
} as const;
