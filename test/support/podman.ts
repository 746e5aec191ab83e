/** podman in the small machine of an isolated agent, with bin/gcs-oci as its runtime. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { WindowSize } from '../../src/os/pty.ts';
import { type AgentOptions, AgentProcess } from './agent-process.ts';
import { type Ended, TerminalGcsctl } from './gcsctl.ts';
import { descendants } from './proc.ts';
import { RawHost } from './raw-client.ts';
import { negotiate } from './raw-flows.ts';
import { makeRootfs } from './rootfs.ts';

const GCS_OCI = fileURLToPath(new URL('../../bin/gcs-oci', import.meta.url));

export const IMAGE = 'localhost/test';
/** The hard limits of a development machine are below podman's defaults, and it has no network to give. */
export const RUN = [
  'run',
  '--network=none',
  '--ulimit=nofile=1024:1024',
  '--ulimit=nproc=1024:1024',
];

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // It has ended meanwhile.
  }
}

export class PodmanLab implements AsyncDisposable {
  readonly agent: AgentProcess;
  readonly #host: RawHost;
  readonly #directory = mkdtempSync(join(tmpdir(), 'gcs-podman-'));

  private constructor(agent: AgentProcess, host: RawHost) {
    this.agent = agent;
    this.#host = host;
  }

  /** Starts the agent, and gives podman an image of a busybox. */
  static async start(options: AgentOptions = {}): Promise<PodmanLab> {
    const agent = new AgentProcess(options);
    const host = new RawHost(agent.path);
    await host.listenBridge();
    await negotiate(await agent.orExit(host.acceptBridge()));
    const lab = new PodmanLab(agent, host);
    // podman keeps things in places that cannot be chosen; the machine's own are read-only there.
    await lab.shell('mount -t tmpfs none /var/cache && mount -t tmpfs none /var/tmp');
    const rootfs = makeRootfs(join(lab.#directory, 'rootfs'));
    const archive = join(lab.#directory, 'rootfs.tar');
    await lab.shell(`tar -C ${rootfs} -cf ${archive} .`);
    mkdirSync(join(lab.#directory, 'home'));
    const imported = await lab.podman(['import', archive, IMAGE]);
    if (imported.code !== 0) throw new Error(`podman import: ${imported.err}`);
    return lab;
  }

  /** Kills the agent of a supervisor, and resolves when the next one has negotiated. */
  async replaceAgent(): Promise<void> {
    const supervisor = this.agent.pid;
    const agent = descendants(supervisor).find(({ pid, parent }) => {
      return parent === supervisor && /\/start\.cjs\0gcs\0/.test(commandLine(pid));
    });
    if (agent === undefined) throw new Error('no agent runs');
    process.kill(agent.pid, 'SIGKILL');
    await negotiate(await this.agent.orExit(this.#host.acceptBridge()));
  }

  /** Runs podman to its end. */
  podman(argv: readonly string[], input = ''): Promise<Ended> {
    return this.run([...this.#command(), ...argv], input);
  }

  /** Runs bin/gcs-oci on its own. */
  gcsOci(argv: readonly string[]): Promise<Ended> {
    return this.run([GCS_OCI, '--agent', this.agent.path, ...argv]);
  }

  /** podman at a terminal. */
  terminal(argv: readonly string[], size: WindowSize): TerminalGcsctl {
    return new TerminalGcsctl([...this.#command(), ...argv], size, this.#inside());
  }

  /** Fails unless the script succeeds. */
  async shell(script: string): Promise<string> {
    const { code, out, err } = await this.run(['sh', '-c', script]);
    if (code !== 0) throw new Error(`${script}: ${code}: ${err}`);
    return out;
  }

  /** Any program in the agent's namespaces. */
  async run(argv: readonly string[], input = ''): Promise<Ended> {
    const [file = '', ...args] = [...this.#inside(), ...argv];
    const child = spawn(file, args);
    const ended = once(child, 'close');
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const [code, signal] = await ended;
    return { code: signal ?? code, out, err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host[Symbol.asyncDispose]();
    await this.agent[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #inside(): string[] {
    const home = `HOME=${join(this.#directory, 'home')}`;
    const spaces = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup'];
    return ['nsenter', '--target', `${this.agent.pid}`, ...spaces, '--', 'env', home];
  }

  #command(): string[] {
    return [
      'podman',
      '--root=/run/podman/root',
      '--runroot=/run/podman/run',
      '--tmpdir=/run/podman/tmp',
      '--storage-driver=vfs',
      '--cgroup-manager=cgroupfs',
      '--events-backend=file',
      `--runtime=${GCS_OCI}`,
      `--runtime-flag=agent=${this.agent.path}`,
    ];
  }
}
