import { existsSync } from 'node:fs';

const MARK = 'GCS_BENCH_PRIVATE_RUN';
const UNSHARE = '/usr/bin/unshare';

/**
 * Starts this program again with a tmpfs of its own on /run, where the agent and the runtime keep
 * their state: so it is in a utility VM, while the machine's may be a disk. Does not return when it
 * does; nothing of the machine's mounts changes.
 */
export function enterPrivateRun(): void {
  if (process.env[MARK] !== undefined) return;
  if (!existsSync(UNSHARE))
    throw new TypeError(`${UNSHARE} is missing: apt-get install util-linux`);
  const script = 'mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"';
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve?.(
    UNSHARE,
    [UNSHARE, '--mount', '--propagation', 'private', 'sh', '-c', script, 'bench', ...self],
    { ...process.env, [MARK]: '1' },
  );
}
