/** gcsctl with VMs in a directory of the test's own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isAlive, VmDirectory, type VmState } from '../../src/vm/directory.ts';
import { processEntry } from './proc.ts';

const GCSCTL = fileURLToPath(new URL('../../bin/gcsctl', import.meta.url));

export class VmLab implements AsyncDisposable {
  readonly base = mkdtempSync(join(tmpdir(), 'gcs-vmlab-'));

  directory(name: string): VmDirectory {
    return new VmDirectory(this.base, name);
  }

  start(...args: string[]): ChildProcess {
    return spawn(GCSCTL, args, {
      env: { ...process.env, GCSCTL_VM_DIR: this.base },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  async run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = this.start(...args);
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout ?? Readable.from([])),
      text(child.stderr ?? Readable.from([])),
      once(child, 'exit') as Promise<[number | null]>,
    ]);
    return { code, stdout, stderr };
  }

  /** Sockets that are left in a VM's directory. */
  sockets(name: string): string[] {
    const { path } = this.directory(name);
    if (!existsSync(path)) return [];
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isSocket())
      .map((entry) => entry.name);
  }

  state(name: string): VmState {
    const state = this.directory(name).state();
    if (state === undefined) throw new Error(`no VM ${name}`);
    return state;
  }

  /** Resolves when neither of the VM's processes is there any more. */
  async untilGone({ supervisor, qemu }: VmState): Promise<void> {
    const { Pidfd } = await import('../../src/os/pidfd.ts');
    for (const each of [supervisor, qemu]) {
      if (each === undefined) continue;
      using handle = Pidfd.open(each.pid);
      if (handle !== undefined && isAlive(each) && !isZombie(each.pid)) {
        await handle.ended({ signal: AbortSignal.timeout(60_000) });
      }
    }
  }

  /** Resolves when a QEMU of this lab runs, be it one that only tries KVM. Nothing tells when it does. */
  async untilQemuRuns(): Promise<void> {
    while (!this.#processes().some((pid) => processEntry(pid)?.command.startsWith('qemu'))) {
      await delay(5);
    }
  }

  /** Resolves when no process that a gcsctl of this lab started is there any more. */
  async untilNobodyIsLeft(): Promise<void> {
    const { Pidfd } = await import('../../src/os/pidfd.ts');
    for (const pid of this.#processes()) {
      using handle = Pidfd.open(pid);
      await handle?.ended({ signal: AbortSignal.timeout(60_000) });
    }
  }

  /** By the directory of VMs in their environment. */
  #processes(): number[] {
    const mark = `GCSCTL_VM_DIR=${this.base}\0`;
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && environmentOf(pid).includes(mark));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of readdirSync(this.base)) {
      if (!name.startsWith('.')) await this.run('vm', 'down', '--force', name);
    }
    rmSync(this.base, { recursive: true, force: true });
  }
}

/** Empty for one that has ended. */
function environmentOf(pid: number): string {
  try {
    return `${readFileSync(`/proc/${pid}/environ`, 'latin1')}\0`;
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return '';
    throw error;
  }
}

function isZombie(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/\(.*\)/, ''));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}
