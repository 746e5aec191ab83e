import type { DrainPolicy } from './stdio.ts';

/** Bounds used when nothing else is said. LIMITS.md lists them. */
export const defaultDrainPolicy: DrainPolicy = {
  // A background child that keeps stdout delays the wait reply by this much. Long enough for the
  // helpers of a shell pipeline to finish what they are writing, short enough for the user of
  // `exec -- sh -c 'daemon &'` not to believe that it hangs.
  grandchildMs: 2_000,
  // A host that has read everything closes within microseconds. The bound only serves against one
  // that lives but never closes; while it has bytes left to read the bound starts again.
  hostCloseMs: 30_000,
};

/** Capacity of the pipe of one stream, in bytes: what a process can write before a host that does not read stops it. */
export const streamPipeBytes = 262_144;

/** Bounds of a log in the CRI's format when nothing else is said: what the kubelet has by default. */
export const defaultCriLogLimits = {
  /** Bytes of one file. */
  maxBytes: 10_485_760,
  /** Files of one process, the one being written included. */
  maxFiles: 5,
};
