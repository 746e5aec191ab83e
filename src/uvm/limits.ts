/** Bounds of the model; LIMITS.md lists them with their tests. */
export const uvmLimits = {
  /** Containers at one time, of any state. */
  containers: 4096,
  /** Processes started by the host at one time in one container (or in the VM itself), running or not yet waited for. */
  processesPerTarget: 8192,
  /** Exited processes nobody has waited for that one container (or the VM) remembers; the oldest is forgotten first. */
  exitedProcesses: 1024,
  /** Milliseconds after the end of a container in which its exit notification waits for the first WaitForProcess of init to be answered. */
  notificationGraceMs: 1000,
  /** Events of containers that are kept for clients that come back; older ones are told as a gap. */
  events: 16384,
} as const;
