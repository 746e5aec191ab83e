import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import type { Logger } from '../log/logger.ts';
import type { Transport } from '../vsock/transport.ts';
import { GuestConsole } from './console.ts';
import { identify, VmDirectory, type VmState } from './directory.ts';
import { VmError } from './errors.ts';
import { HostPorts } from './host-ports.ts';
import { CONSOLE_FD, type QemuOptions, QMP_FD, qemuArguments, qemuProgram } from './qemu.ts';
import { QmpClient } from './qmp.ts';

/** For QEMU to end after it was told to. */
const QUIT_MS = 5_000;

/** All a supervisor needs to know. Travels as JSON. */
export interface SupervisorPlan {
  readonly base: string;
  readonly state: VmState;
  readonly qemu: QemuOptions;
}

/** What a supervisor tells of the start, in this order. */
export type StartPhase = 'qemu' | 'init' | 'agent';

export interface SupervisorOptions {
  readonly log: Logger;
  /** `at`: milliseconds since the epoch. */
  readonly onPhase: (phase: StartPhase, at: number) => void;
  /** Ends the VM. */
  readonly stop: AbortSignal;
}

/**
 * Is one VM: its vsock device, its console and logs, and QEMU's parent, so that neither outlives the
 * other. Resolves with the reason when the VM has ended and every socket is gone. Should this
 * process be killed, the kernel kills QEMU with it.
 */
export async function supervise(plan: SupervisorPlan, options: SupervisorOptions): Promise<string> {
  const directory = new VmDirectory(plan.base, plan.state.name);
  const { log } = options;
  await using stack = new AsyncDisposableStack();
  stack.defer(() => directory.removeSockets());
  const failure = Promise.withResolvers<string>();
  const transport = stack.use(await openTransport(plan, directory, log, stack, failure.resolve));
  const ports = stack.use(
    new HostPorts(directory.agentLog, (error) => log.warning('a host port failed', { error })),
  );
  await ports.listen(transport);

  const qemu = startQemu(plan.qemu, directory);
  const ended = untilEnd(qemu);
  stack.defer(() => endQemu(qemu, ended));
  options.onPhase('qemu', Date.now());
  const console = stack.use(
    new GuestConsole(qemu.stdio[CONSOLE_FD] as Duplex, directory.consoleLog),
  );
  console.on('marker', (marker) => options.onPhase(marker, Date.now()));
  await console.listen(directory.console);
  const qmp = new QmpClient(qemu.stdio[QMP_FD] as Duplex);
  let why = '';
  qmp.on('event', (name, data) => {
    log.info(`QEMU: ${name}`, { data });
    if (name === 'SHUTDOWN') why = String(data.reason ?? '');
  });
  remember(plan, directory, qemu);
  await Promise.race([qmp.negotiate(), ended]).catch((error) => log.error('QMP', { error }));
  const reason = await Promise.race([
    ended.then((how) => (why === '' ? how : `${why} (QEMU ${how})`)),
    failure.promise,
    aborted(options.stop),
  ]);
  log.info(`the VM ends: ${reason}`);
  await qmp.execute('quit').catch(() => {}); // Gone already is as good.
  return reason;
}

/** The host's side of the guest's vsock: ours over vhost-user, or the kernel's. */
async function openTransport(
  plan: SupervisorPlan,
  directory: VmDirectory,
  log: Logger,
  stack: AsyncDisposableStack,
  onFailure: (reason: string) => void,
): Promise<Transport> {
  const { cid } = plan.state;
  if (plan.state.transport === 'vsock') {
    const { VsockTransport } = await import('../vsock/vsock.ts');
    return new VsockTransport({ cid });
  }
  const [{ VsockDeviceServer }, { EmulatedHost }] = await Promise.all([
    import('../vsock/emulator/device/server.ts'),
    import('../vsock/emulator/host.ts'),
  ]);
  stack.use(
    new VsockDeviceServer({
      socket: directory.device,
      path: directory.vsock,
      cid,
      log,
      onFailure: (error) => onFailure(`the vsock device failed: ${String(error)}`),
    }),
  );
  return new EmulatedHost(directory.vsock);
}

function startQemu(options: QemuOptions, directory: VmDirectory): ChildProcess {
  const log = openSync(directory.supervisorLog, 'a', 0o600);
  try {
    const program = qemuProgram(options.image.architecture);
    return spawn('setpriv', ['--pdeathsig', 'KILL', program, ...qemuArguments(options)], {
      cwd: '/',
      stdio: ['ignore', log, log, 'pipe', 'pipe'],
    });
  } finally {
    closeSync(log);
  }
}

async function untilEnd(qemu: ChildProcess): Promise<string> {
  const [code, signal] = (await once(qemu, 'exit')) as [number | null, NodeJS.Signals | null];
  return signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
}

async function endQemu(qemu: ChildProcess, ended: Promise<string>): Promise<void> {
  const force = setTimeout(() => qemu.kill('SIGKILL'), QUIT_MS);
  await ended;
  clearTimeout(force);
}

function remember({ state }: SupervisorPlan, directory: VmDirectory, { pid }: ChildProcess): void {
  const supervisor = identify(process.pid);
  const qemu = pid === undefined ? undefined : identify(pid);
  if (supervisor === undefined || qemu === undefined) {
    throw new VmError('missing', 'QEMU could not be started');
  }
  directory.save({ ...state, supervisor, qemu });
}

function aborted(signal: AbortSignal): Promise<string> {
  const reason = (): string => String(signal.reason);
  if (signal.aborted) return Promise.resolve(reason());
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(reason()), { once: true });
  });
}
