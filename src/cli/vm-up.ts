import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BridgeError } from '../client/errors.ts';
import { GuestClient } from '../client/guest.ts';
import { freeCid, VmDirectory, type VmState, vmBase } from '../vm/directory.ts';
import { VmError } from '../vm/errors.ts';
import { findImage, ownArchitecture, type VmImage } from '../vm/image.ts';
import { chooseAcceleration, type KvmAnswer } from '../vm/kvm.ts';
import { type Acceleration, kernelCommandLine, qemuProgram, type VmTransport } from '../vm/qemu.ts';
import { StartingVm } from '../vm/start.ts';
import type { Transport } from '../vsock/transport.ts';
import { installationRoot } from './installation.ts';
import type { Io } from './io.ts';
import { vmHost } from './vm-session.ts';

export interface VmUpOptions {
  readonly name: string;
  /** MiB. */
  readonly memory: number;
  /** MiB; undefined: none can be plugged in. */
  readonly maxMemory: number | undefined;
  readonly cpus: number;
  readonly image: string | undefined;
  readonly kernel: string | undefined;
  readonly transport: VmTransport;
  readonly acceleration: Acceleration | undefined;
  readonly agentArguments: readonly string[];
  readonly append: string | undefined;
  readonly shell: boolean;
  readonly timeoutMs: number;
}

/** Milliseconds from QEMU's start until each step was reached. */
export interface VmUpResult {
  readonly name: string;
  readonly host: string;
  readonly acceleration: Acceleration;
  readonly milliseconds: Readonly<Record<string, number>>;
}

/** Starts a VM and returns once its agent has negotiated. On any failure nothing of it is left but its logs. */
export async function bringUp(
  options: VmUpOptions,
  io: Io,
  signal: AbortSignal,
): Promise<VmUpResult> {
  const base = vmBase(io.env);
  const directory = new VmDirectory(base, options.name);
  if (directory.running() !== undefined) {
    throw new VmError(
      'exists',
      `a VM "${options.name}" runs already: gcsctl vm down ${options.name}`,
    );
  }
  const root = installationRoot();
  const image = findImage({
    directory: options.image ?? join(root, 'build/vm', ownArchitecture()),
    kernel: options.kernel,
  });
  requirements(image, options.transport, io);
  const answer = await acceleration(options, image, base, signal);
  io.stderr.write(`${options.name}: ${describe(options, answer)}\n`);
  const state: VmState = {
    name: options.name,
    cid: freeCid(base),
    transport: options.transport,
    acceleration: answer.acceleration,
    memory: options.memory,
    cpus: options.cpus,
    image: image.directory,
    kernel: image.kernel,
    started: new Date().toISOString(),
  };
  directory.remove();
  directory.create();
  return await start(options, { base, directory, image, state, root }, io, signal);
}

interface Place {
  readonly base: string;
  readonly directory: VmDirectory;
  readonly image: VmImage;
  readonly state: VmState;
  readonly root: string;
}

async function start(
  options: VmUpOptions,
  { base, directory, image, state, root }: Place,
  io: Io,
  signal: AbortSignal,
): Promise<VmUpResult> {
  const qemu = {
    ...{ name: state.name, image, acceleration: state.acceleration, cid: state.cid },
    ...{ memory: state.memory, cpus: state.cpus, transport: state.transport },
    maxMemory: options.maxMemory,
    deviceSocket: directory.device,
    qmpSocket: directory.qmp,
    commandLine: kernelCommandLine(image.commandLine, options),
  };
  const program = [join(root, 'bin/gcsctl'), 'vm', 'supervise'];
  const times = new PhaseTimes(io);
  await using vm = new StartingVm(program, directory, { base, state, qemu });
  vm.on('phase', ({ phase, at }) => times.reached(phase, at));
  const agentStarted = new Promise<void>((resolve) => {
    vm.on('phase', ({ phase }) => {
      if (phase === 'agent') resolve();
    });
  });
  await using host = vmHost({ directory, state });
  const limits = { timeoutMs: options.timeoutMs, signal };
  // A guest that listens cannot be dialed before it does; one that dials finds us waiting.
  const negotiated =
    state.transport === 'listen'
      ? agentStarted.then(() => dialUntilThere(host, limits))
      : GuestClient.accept(host, limits);
  const guest = await vm.orEnd(negotiated).catch((error: unknown) => {
    if (!(error instanceof BridgeError && error.code === 'no-guest')) throw error;
    const text = `the agent did not answer within ${options.timeoutMs / 1000} s`;
    throw new VmError('ended', `${text}${vm.logTails()}`, { cause: error });
  });
  times.reached('negotiated', Date.now());
  await guest[Symbol.asyncDispose]();
  vm.detach();
  io.stderr.write(`It runs: gcsctl ping --vm ${state.name}; gcsctl vm down ${state.name}\n`);
  return {
    name: state.name,
    host: directory.vsock,
    acceleration: state.acceleration,
    milliseconds: times.milliseconds,
  };
}

/** Between two dials of a guest that does not listen yet. */
const REDIAL_MS = 100;

/**
 * A guest that listens tells nobody that it does: its host dials until it is let in, as hosts of
 * Firecracker do.
 */
async function dialUntilThere(
  host: Transport,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<GuestClient> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const left = Math.max(1, deadline - performance.now());
    try {
      return await GuestClient.dial(host, { timeoutMs: left, signal });
    } catch (error) {
      const soon = error instanceof BridgeError && error.code === 'no-guest';
      if (!soon || performance.now() >= deadline) throw error;
    }
    await delay(REDIAL_MS, undefined, { signal });
  }
}

async function acceleration(
  options: VmUpOptions,
  image: VmImage,
  base: string,
  signal: AbortSignal,
): Promise<KvmAnswer> {
  if (options.acceleration !== undefined) {
    return { acceleration: options.acceleration, reason: 'as told' };
  }
  return chooseAcceleration(image, base, signal);
}

function describe(options: VmUpOptions, { acceleration, reason }: KvmAnswer): string {
  const how = acceleration === 'kvm' ? 'KVM' : 'QEMU’s interpreter (TCG), much slower than KVM';
  return `${options.cpus} processors, ${options.memory} MiB, ${how}: ${reason}`;
}

/** Throws VmError 'missing' with what to install. */
function requirements(image: VmImage, transport: VmTransport, io: Io): void {
  const program = qemuProgram(image.architecture);
  const found = (io.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) {
    const name = image.architecture === 'amd64' ? 'qemu-system-x86' : 'qemu-system-arm';
    throw new VmError('missing', `${program} is missing: apt-get install ${name}`);
  }
  if (transport !== 'vsock') return;
  try {
    accessSync('/dev/vhost-vsock', constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw new VmError('missing', '/dev/vhost-vsock cannot be used: --transport hybrid needs none', {
      cause,
    });
  }
}

const PHASES: Readonly<Record<string, string>> = {
  qemu: 'QEMU started',
  init: 'kernel: init runs',
  agent: 'init: the agent is started',
  negotiated: 'agent: negotiated',
};

/** Prints each phase with the time since QEMU's start and since the phase before. */
class PhaseTimes {
  readonly milliseconds: Record<string, number> = {};
  readonly #io: Io;
  #begin: number | undefined;
  #last = 0;

  constructor(io: Io) {
    this.#io = io;
  }

  reached(phase: string, at: number): void {
    this.#begin ??= at;
    const since = at - this.#begin;
    const step = since - this.#last;
    this.milliseconds[phase] = since;
    this.#last = since;
    if (phase === 'qemu') return;
    const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`.padStart(9);
    const text = (PHASES[phase] ?? phase).padEnd(28);
    this.#io.stderr.write(`  ${text}${seconds(step)}  (${seconds(since).trim()})\n`);
  }
}
