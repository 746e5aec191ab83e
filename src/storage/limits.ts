/** Bounds of the storage; LIMITS.md lists them with their tests. */
export const storageLimits = {
  /** Layers of one container: their names in /proc/self/fd fit into the page that mount(2) takes from older kernels. */
  layers: 128,
  /** Milliseconds a device that was announced by the host may take to appear. */
  deviceAppearMs: 5000,
  /** Milliseconds for a 9p server's answers to the mount of its share. */
  shareAnswerMs: 10_000,
} as const;
