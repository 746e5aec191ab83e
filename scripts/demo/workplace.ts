import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { cgroupsBelow, ownCgroups } from '../../test/support/cgroup-tree.ts';
import { descendants, mounts } from '../../test/support/proc.ts';
import { makeRootfs } from '../../test/support/rootfs.ts';

/** Where agents and runtimes keep state of containers. */
const STATE = ['/run/gcsrunc', '/run/runc'];

/** The temporary files of one demonstration, and the proof that it left nothing. */
export class Workplace {
  readonly id = `demo-${randomBytes(4).toString('hex')}`;
  readonly #directory = mkdtempSync(join(tmpdir(), 'gcs-demo-'));

  constructor() {
    makeRootfs(this.rootfs);
  }

  get path(): string {
    return join(this.#directory, 'vsock');
  }

  get rootfs(): string {
    return join(this.#directory, 'rootfs');
  }

  get bundle(): string {
    return join(this.#directory, 'bundle');
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** What of this demonstration still exists, looked for everywhere it could be. */
  leftovers(): string[] {
    const roots = ownCgroups().flatMap((own) => [own, hierarchyOf(own)]);
    return [
      ...[this.#directory, ...STATE.map((path) => join(path, this.id))].filter((path) =>
        existsSync(path),
      ),
      ...descendants(process.pid).map(({ pid, command }) => `process ${pid} (${command})`),
      ...mounts('self')
        .filter(({ point }) => point.startsWith(this.#directory))
        .map(({ text }) => `mount ${text}`),
      ...new Set(cgroupsBelow(roots).filter((path) => basename(path) === this.id)),
    ];
  }
}

/** /sys/fs/cgroup/memory of /sys/fs/cgroup/memory/a/b: containers need not be below our own cgroup. */
function hierarchyOf(cgroup: string): string {
  const points = mounts('self').filter(
    ({ point, text }) => / \(cgroup2? /.test(text) && `${cgroup}/`.startsWith(`${point}/`),
  );
  return points.at(-1)?.point ?? cgroup;
}
