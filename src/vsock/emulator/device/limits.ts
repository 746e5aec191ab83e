/** Bounds of the vsock device, with their reasons; LIMITS.md lists them. */
export const deviceLimits = {
  /**
   * Connections at one time, under way and being drained included; a guest's next request is
   * reset, a host's is closed. Each holds one descriptor.
   */
  connections: 4_096,
  /** Bytes of one connection that wait for a slow host; the guest is told (buf_alloc). What Linux itself gives. */
  bufferBytes: 262_144,
  /** The same for all connections; the connection that goes beyond it is reset. */
  totalBufferBytes: 256 * 1024 * 1024,
  /** Resets that wait for a guest that gives no receive buffers; more are dropped. */
  pendingResets: 8_192,
  /** Payload bytes of one packet to the guest. */
  packetBytes: 65_536,
  /** Packets of one ring in one turn of the event loop, so that no guest keeps the loop for itself. */
  turnPackets: 512,
  /** Packets of one connection in a row, while others wait. */
  connectionPackets: 16,
  /** Milliseconds for the connect to PATH_port. */
  hostConnectMs: 10_000,
  /** Milliseconds until a guest must have answered a connection request. */
  guestAnswerMs: 10_000,
  /** Milliseconds a guest has to confirm the end of a connection; Linux itself waits 8 s. */
  guestCloseMs: 8_000,
  /** Entries of a virtqueue; QEMU makes 128. */
  ringEntries: 1_024,
  /** Regions of guest memory: the most a front-end may send without negotiating more. */
  memoryRegions: 8,
  /** Payload bytes of a vhost-user message; the longest we take is the memory table, 264. */
  messageBytes: 1_024,
} as const;

export type DeviceLimits = { readonly [K in keyof typeof deviceLimits]: number };
