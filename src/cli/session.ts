import { dirname } from 'node:path';
import { BridgeError } from '../client/errors.ts';
import { GuestClient } from '../client/guest.ts';
import { BRIDGE_PORT } from '../vsock/ports.ts';
import { TransportError } from '../vsock/transport.ts';
import { CliError, Interrupted, UsageError } from './exit-codes.ts';
import { hostPath } from './host-path.ts';
import type { Io } from './io.ts';
import { PrivateAgent, type PrivateAgentOptions } from './private-agent.ts';
import { SignalWatch } from './signals.ts';
import { type VmTarget, vmTarget } from './vm-target.ts';

const DEFAULT_TIMEOUT_S = 10;

/** A guest to talk to, for the time of one command. */
export interface Session extends AsyncDisposable {
  readonly guest: GuestClient;
  /** PATH of hybrid:PATH. */
  readonly path: string;
}

export interface SessionOptions {
  readonly host: string | undefined;
  /** Name of a VM instead of `host`. */
  readonly vm?: string | undefined;
  readonly timeout: number | undefined;
}

/** Acts as the next host of a standing agent, which dials again whenever its bridge was lost. */
export async function openStanding(
  options: SessionOptions,
  io: Io,
  signal?: AbortSignal,
): Promise<Session> {
  await using stack = new AsyncDisposableStack();
  if (options.vm !== undefined) {
    if (options.host !== undefined) throw new UsageError('--host and --vm exclude each other');
    const target = vmTarget(options.vm, io);
    const path = target.directory.vsock;
    const guest = await acceptGuest(stack, path, options.timeout, signal, target);
    return session(stack.move(), guest, path);
  }
  const path = hostPath(options.host, io);
  const guest = await acceptGuest(stack, path, options.timeout, signal);
  return session(stack.move(), guest, path);
}

/** Starts an agent for this command alone. */
export async function openPrivate(
  options: PrivateAgentOptions & { timeout: number | undefined },
  io: Io,
  signal?: AbortSignal,
): Promise<Session> {
  await using stack = new AsyncDisposableStack();
  const agent = stack.use(await PrivateAgent.prepare(io));
  const accepted = acceptGuest(stack, agent.path, options.timeout, signal);
  agent.start(options);
  const guest = await agent.orEnd(accepted);
  return session(stack.move(), guest, agent.path);
}

function session(stack: AsyncDisposableStack, guest: GuestClient, path: string): Session {
  return { guest, path, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function acceptGuest(
  stack: AsyncDisposableStack,
  path: string,
  timeout = DEFAULT_TIMEOUT_S,
  signal?: AbortSignal,
  vm?: VmTarget,
): Promise<GuestClient> {
  const interrupt = new AbortController();
  // A command without signals of its own still removes its socket when it is interrupted here.
  using _watch = signal === undefined ? interruptBySignal(interrupt) : undefined;
  const options = {
    timeoutMs: timeout * 1000,
    // Containers of earlier commands on the same agent may end while this one is its host.
    takesOver: true,
    signal: signal ?? interrupt.signal,
  };
  try {
    if (vm !== undefined) {
      const { vmGuest, vmHost } = await import('./vm-session.ts');
      return stack.use(await vmGuest(vm, stack.use(vmHost(vm)), options));
    }
    // Loaded here: it needs the native addon, and the help should not.
    const { EmulatedHost } = await import('../vsock/emulator/host.ts');
    const host = stack.use(new EmulatedHost(path));
    return stack.use(await GuestClient.accept(host, options));
  } catch (error) {
    throw explained(error, path, timeout, vm);
  }
}

/** Until disposed of, a signal to gcsctl aborts with Interrupted. */
export function interruptBySignal(controller: AbortController): SignalWatch {
  return new SignalWatch((name, signal) => controller.abort(new Interrupted(name, signal)));
}

function explained(error: unknown, path: string, timeout: number, vm?: VmTarget): unknown {
  if (error instanceof BridgeError && error.code === 'no-guest') {
    if (vm !== undefined) {
      const { name } = vm.state;
      return new CliError(
        `the agent of VM ${name} did not answer within ${timeout} s: see "gcsctl vm logs ${name}"`,
        { cause: error },
      );
    }
    return new CliError(
      `no agent dialed ${path}_${BRIDGE_PORT} within ${timeout} s. ` +
        `Start one in another terminal with: gcsctl agent --host ${path}`,
      { cause: error },
    );
  }
  if (!(error instanceof TransportError)) return error;
  const text = (hint: string): CliError =>
    new CliError(`cannot listen on ${path}_${BRIDGE_PORT}: ${hint}`, { cause: error });
  if (error.code === 'port-in-use') {
    return text('another host waits for the agent there; an agent has one host at a time');
  }
  const errno = (error.cause as { code?: unknown } | undefined)?.code;
  if (errno === 'ENOENT') {
    return text(
      `${dirname(path)} does not exist. Start an agent with: gcsctl agent --host ${path}`,
    );
  }
  if (errno === 'EACCES' || errno === 'EPERM') {
    return text(`no permission in ${dirname(path)}; run gcsctl as the user who owns it`);
  }
  return error;
}
