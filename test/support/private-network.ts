/** A network namespace for one test, held by a process that sleeps in it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Fd } from '../../src/os/fd.ts';
import { openNetworkNamespace } from '../../src/os/netlink.ts';

export class PrivateNetwork implements AsyncDisposable {
  readonly namespace: Fd;
  readonly pid: number;
  readonly #child: ChildProcess;

  static async make(): Promise<PrivateNetwork> {
    const script = 'ip link set lo up && echo ready && exec sleep infinity';
    // Should the test be killed, the namespace goes too.
    const args = ['--pdeathsig', 'KILL', 'unshare', '--net', 'sh', '-c', script];
    const child = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    return new PrivateNetwork(child);
  }

  private constructor(child: ChildProcess) {
    if (child.pid === undefined) throw new Error('unshare did not start');
    this.#child = child;
    this.pid = child.pid;
    this.namespace = openNetworkNamespace(child.pid);
  }

  /** Runs `ip` in it. */
  ip(...args: string[]): string {
    const command = ['-t', `${this.pid}`, '-n', 'ip', ...args];
    return execFileSync('nsenter', command, { encoding: 'utf8' });
  }

  /** All that can be configured in it, as text that two states can be compared by. */
  snapshot(): string[] {
    const script = [
      'ip -o link show',
      'ip -o addr show',
      'ip -4 route show table all',
      'ip -6 route show table all',
      'ip -4 rule show',
      'ip -6 rule show',
    ].join('; ');
    const command = ['-t', `${this.pid}`, '-n', 'sh', '-c', script];
    return execFileSync('nsenter', command, { encoding: 'utf8' }).split('\n').sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.namespace.close();
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
