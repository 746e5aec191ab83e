/**
 * init as a program: PID 1 of namespaces of its own (init-lab.sh) with a shell script as its agent,
 * its console read by the test and the host's ports as unix sockets.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execaSync } from 'execa';
import { buildInit } from '../../scripts/build-init.ts';
import { ownCgroups, removeDyingCgroups } from './cgroup-tree.ts';
import { descendants, innermostPid } from './proc.ts';
import { makeRootfs } from './rootfs.ts';

const SCRIPT = fileURLToPath(new URL('./init-lab.sh', import.meta.url));

/** Built when it is not up to date. */
export function initProgram(): string {
  if (process.arch !== 'x64' && process.arch !== 'arm64') throw new Error(`not on ${process.arch}`);
  return buildInit(process.arch, () => {});
}

export interface InitLabOptions {
  /** Shell script that is the agent, /agent in the root. */
  agent?: string;
  /** init's arguments; default: the agent alone. */
  args?: readonly string[];
  /** More executable files of the root, by path. */
  files?: Readonly<Record<string, string>>;
  /** Shell script that runs before init, with the root's path as $1. */
  prepare?: string;
  /** Changes the root before it is used. */
  edit?: (root: string) => void;
}

/** Text that grows, and who waits for it. */
class Transcript {
  #text = '';
  #waiting: (() => void)[] = [];

  get text(): string {
    return this.#text;
  }

  add(text: string): void {
    this.#text += text;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(found: (text: string) => boolean): Promise<void> {
    while (!found(this.#text)) await new Promise<void>((wake) => this.#waiting.push(wake));
  }
}

/** A port of the host: everything that came over each of its connections. */
class HostPort implements AsyncDisposable {
  readonly transcript = new Transcript();
  readonly connections: Socket[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(path: string, onConnection?: (socket: Socket) => void): Promise<HostPort> {
    const server = createServer();
    const port = new HostPort(server);
    server.on('connection', (socket) => {
      port.connections.push(socket);
      socket.on('error', () => {});
      socket.setEncoding('utf8').on('data', (text: string) => port.transcript.add(text));
      onConnection?.(socket);
    });
    server.listen(path);
    await once(server, 'listening');
    // init's root is an ordinary user of this machine.
    chmodSync(path, 0o777);
    return port;
  }

  /** Ends the port and all of its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export class InitLab implements AsyncDisposable {
  readonly directory: string;
  /** Its cgroup in every hierarchy. */
  readonly cgroups: readonly string[];
  /** Resolves with init's exit code. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #console: Socket;
  readonly #transcript = new Transcript();
  readonly #ports: HostPort[] = [];
  #pid: number | undefined;

  /** Makes everything and starts init, unless `ports` are to be listened on before. */
  static async start(
    options: InitLabOptions = {},
    ports: Readonly<Record<number, (socket: Socket) => void>> = {},
  ): Promise<InitLab> {
    const directory = mkdtempSync(join(tmpdir(), 'gcs-init-'));
    try {
      prepareDirectory(directory, options);
      const listening: HostPort[] = [];
      for (const [port, serve] of Object.entries(ports)) {
        listening.push(await HostPort.listen(join(directory, `host/v_${port}`), serve));
      }
      return new InitLab(directory, options, listening);
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(directory: string, options: InitLabOptions, ports: HostPort[]) {
    this.directory = directory;
    this.#ports = ports;
    // Read and write: a FIFO without a writer would be at its end.
    const fd = openSync(join(directory, 'console'), constants.O_RDWR | constants.O_NONBLOCK);
    this.#console = new Socket({ fd, readable: true, writable: false });
    this.#console.setEncoding('utf8').on('data', (text: string) => this.#transcript.add(text));
    const name = `gcs-init-${randomBytes(6).toString('hex')}`;
    const args = ['gcs.vsock=unix:/host/v', ...(options.args ?? ['/agent'])];
    this.cgroups = ownCgroups().map((path) => join(path, name));
    // A test that dies takes its lab with it.
    const command = [SCRIPT, name, directory, '/sbin/init', ...args];
    this.#child = spawn('setpriv', ['--pdeathsig', 'TERM', ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#transcript.add(text));
    }
    this.exited = once(this.#child, 'close').then(([code]) => {
      this.#transcript.add('');
      return code;
    });
  }

  /** All that came to the console so far. */
  get console(): string {
    return this.#transcript.text;
  }

  /** Lines of init itself without the time. */
  get messages(): string[] {
    return [...this.console.matchAll(/^\[ *\d+\.\d+\] init: (.*)$/gm)].map(
      ([, text]) => text ?? '',
    );
  }

  /** init's pid in the test's namespace. */
  get pid(): number {
    this.#pid ??= descendants(this.#child.pid ?? 0).find(({ pid }) => innermostPid(pid) === 1)?.pid;
    if (this.#pid === undefined) throw new Error(`init does not run:\n${this.console}`);
    return this.#pid;
  }

  /** A path in init's root as the test sees it. */
  inside(path: string): string {
    return join(`/proc/${this.pid}/root`, path);
  }

  /** Runs a shell script in init's root, as root there but in the test's pid namespace. */
  sh(text: string): void {
    const shell = ['/bin/sh', '-c', text];
    const user = ['--user', '--setuid', '0', '--setgid', '0'];
    execaSync('nsenter', ['--target', `${this.pid}`, '--mount', ...user, '--', ...shell]);
  }

  /** A pid inside as the test sees it. */
  outerPid(inner: number): number {
    const found = descendants(this.pid).find(({ pid }) => innermostPid(pid) === inner);
    if (!found) throw new Error(`there is no process ${inner} inside`);
    return found.pid;
  }

  /** Resolves with the match when the console has it; fails when init ends without. */
  async see(wanted: RegExp): Promise<RegExpMatchArray> {
    const over = this.exited.then((code) => {
      if (wanted.test(this.console)) return;
      throw new Error(`init ended (${code}) without ${wanted}:\n${this.console}`);
    });
    over.catch(() => {});
    await Promise.race([this.#transcript.until((text) => wanted.test(text)), over]);
    const match = this.console.match(wanted);
    if (!match) throw new Error(`no ${wanted}`);
    return match;
  }

  async listen(port: number, serve?: (socket: Socket) => void): Promise<HostPort> {
    const host = await HostPort.listen(join(this.directory, `host/v_${port}`), serve);
    this.#ports.push(host);
    return host;
  }

  /** The ports that were listened on from the start, in the order of their numbers. */
  get ports(): readonly HostPort[] {
    return this.#ports;
  }

  /** Exit records by "<pid>.<start time>". */
  records(): Map<string, string> {
    const directory = this.inside('run/gcs/exits');
    return new Map(
      readdirSync(directory)
        .filter((name) => !name.startsWith('.'))
        .map((name) => [name, readFileSync(join(directory, name), 'utf8')]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      this.#child.kill('SIGTERM');
    await this.exited;
    this.#console.destroy();
    for (const port of this.#ports) await port[Symbol.asyncDispose]();
    await removeDyingCgroups(this.cgroups);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function prepareDirectory(directory: string, options: InitLabOptions): void {
  // init's root is an ordinary user of this machine, who must find the way.
  chmodSync(directory, 0o755);
  for (const name of ['host', 'mount', 'root']) mkdirSync(join(directory, name));
  chmodSync(join(directory, 'host'), 0o777);
  execaSync('mkfifo', ['-m', '666', join(directory, 'console')]);
  const root = makeRootfs(join(directory, 'root'));
  for (const name of ['run', 'sbin', 'etc/gcs']) mkdirSync(join(root, name), { recursive: true });
  copyFileSync(initProgram(), join(root, 'sbin/init'));
  const files = { '/agent': script(options.agent ?? 'exec sleep 1000'), ...options.files };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content, { mode: 0o755 });
  }
  options.edit?.(root);
  if (options.prepare !== undefined) {
    writeFileSync(join(directory, 'prepare'), script(options.prepare), { mode: 0o755 });
  }
}

/** A shell script; what it says to its standard error is on the console. */
export function script(text: string): string {
  return `#!/bin/sh\n${text}\n`;
}

/** Shell: sends one request to init and shows its reply as "reply=…". */
export function ask(request: string): string {
  return `printf '%s' '${request}' >&3; echo "reply=$(dd bs=4096 count=1 <&3 2>/dev/null)" >&2`;
}
