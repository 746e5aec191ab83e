/** Bounds of the operations of the management door; LIMITS.md lists them with their tests. */
export const operationLimits = {
  /** Milliseconds for a start or exec that says nothing else. */
  startTimeoutMs: 60_000,
  /** Milliseconds between the stop signal and SIGKILL. */
  stopTimeoutMs: 10_000,
  /** Milliseconds a container has to end after SIGKILL: what takes longer hangs in the kernel. */
  killWaitMs: 120_000,
  /** Bytes of each output of an execSync that are kept, at most and by default. */
  execSyncBytes: 16_777_216,
  /** Milliseconds after the end of an execSync's process, or of its time, in which output that something else holds open may end. */
  execSyncDrainMs: 2_000,
  /** Bytes that wait for one client of an attach; it is disconnected. */
  attachBufferBytes: 4_194_304,
  /** Clients attached to one process at one time. */
  attachedClients: 64,
} as const;
