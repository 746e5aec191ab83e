import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { processStartTime } from '../os/process.ts';
import { VmError } from './errors.ts';
import type { Acceleration, VmTransport } from './qemu.ts';

const DEFAULT_BASE = '/run/gcsctl/vm';

/** sun_path of unix(7) less its NUL, the longest file name here and the longest port. */
const MAX_DIRECTORY = 107 - '/vsock_4294967294'.length;

/** One process, also when its pid is somebody else's by now. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of proc_pid_stat(5). */
  readonly startTime: number;
}

export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return processStartTime(pid) === startTime;
}

/** state.json of a VM. */
export interface VmState {
  readonly name: string;
  readonly cid: number;
  readonly transport: VmTransport;
  readonly acceleration: Acceleration;
  /** MiB. */
  readonly memory: number;
  readonly cpus: number;
  readonly image: string;
  readonly kernel: string;
  /** ISO 8601. */
  readonly started: string;
  /** The process that is the VM's device and QEMU's parent. */
  readonly supervisor?: ProcessIdentity;
  readonly qemu?: ProcessIdentity;
  /** Why it ended; present only then. */
  readonly ended?: string;
}

/** Everything of one VM: BASE/NAME with its sockets, logs and state. */
export class VmDirectory {
  readonly name: string;
  readonly path: string;

  constructor(base: string, name: string) {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name)) {
      throw new VmError('not-found', `"${name}" is no name of a VM: letters, digits, "_.-"`);
    }
    this.name = name;
    this.path = join(base, name);
    if (Buffer.byteLength(this.path) > MAX_DIRECTORY) {
      throw new VmError('missing', `${this.path} is too long for sockets: set $GCSCTL_VM_DIR`);
    }
  }

  /** PATH of hybrid:PATH. */
  get vsock(): string {
    return join(this.path, 'vsock');
  }
  get device(): string {
    return join(this.path, 'device');
  }
  get qmp(): string {
    return join(this.path, 'qmp');
  }
  get console(): string {
    return join(this.path, 'console');
  }
  get consoleLog(): string {
    return join(this.path, 'console.log');
  }
  get agentLog(): string {
    return join(this.path, 'agent.log');
  }
  get supervisorLog(): string {
    return join(this.path, 'host.log');
  }

  /** Undefined when there is no such VM. */
  state(): VmState | undefined {
    try {
      return JSON.parse(readFileSync(this.#stateFile, 'utf8')) as VmState;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  save(state: VmState): void {
    const temporary = `${this.#stateFile}.new`;
    writeFileSync(temporary, `${JSON.stringify(state, undefined, 1)}\n`, { mode: 0o600 });
    renameSync(temporary, this.#stateFile);
  }

  /** Its state, when it runs. */
  running(): VmState | undefined {
    const state = this.state();
    if (state?.supervisor === undefined || state.ended !== undefined) return undefined;
    return isAlive(state.supervisor) ? state : undefined;
  }

  /** Throws VmError 'not-found' unless it runs. */
  requireRunning(): VmState {
    const state = this.running();
    if (state !== undefined) return state;
    const ended = this.state()?.ended;
    const why = ended === undefined ? '' : ` (it ended: ${ended})`;
    throw new VmError(
      'not-found',
      `no VM "${this.name}" runs${why}. Start one with: gcsctl vm up --name ${this.name}`,
    );
  }

  create(): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  /** Removes every socket; logs and state stay to tell what happened. */
  removeSockets(): void {
    if (!existsSync(this.path)) return;
    for (const entry of readdirSync(this.path, { withFileTypes: true })) {
      if (entry.isSocket()) rmSync(join(this.path, entry.name), { force: true });
    }
  }

  get #stateFile(): string {
    return join(this.path, 'state.json');
  }
}

/** Directory of all VMs. */
export function vmBase(env: Readonly<Record<string, string | undefined>>): string {
  const chosen = env.GCSCTL_VM_DIR;
  return chosen === undefined || chosen === '' ? DEFAULT_BASE : chosen;
}

/** Every VM there is, running or ended, by name. */
export function listVms(base: string): VmDirectory[] {
  if (!existsSync(base)) return [];
  return readdirSync(base, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(base, entry.name, 'state.json')))
    .map((entry) => new VmDirectory(base, entry.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The smallest context identifier no running VM has; 0 to 2 are taken (vsock(7)). */
export function freeCid(base: string): number {
  const taken = new Set(listVms(base).map((vm) => vm.running()?.cid));
  for (let cid = 3; ; cid += 1) if (!taken.has(cid)) return cid;
}
