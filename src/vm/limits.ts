/** Bounds of what is asked of QEMU; see LIMITS.md. */
export const hotplugLimits = {
  /** Milliseconds until QEMU takes commands from this client, or says that a device is gone. */
  hotplugMs: 30_000,
} as const;
