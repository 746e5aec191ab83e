/** What a caller may send to the process it takes for the container's. */
const FORWARDED = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
] as const satisfies readonly NodeJS.Signals[];

/**
 * Passes signals on. One that comes when the process has just ended has nobody to reach, as with
 * kill(2) and a zombie.
 */
export function forwardSignals(send: (signal: string) => Promise<void>): void {
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      send(signal).catch((error: unknown) => {
        process.stderr.write(`gcs-oci: ${signal} not passed on: ${String(error)}\n`);
      });
    });
  }
}
