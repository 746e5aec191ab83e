import { ManagementConnectionError } from '../../client/management/errors.ts';
import type { ManagementClient } from '../../client/management/index.ts';
import { errnoNameOf } from '../../vsock/failure.ts';
import type { Transport } from '../../vsock/transport.ts';
import { CliError, ReaderGone, UsageError } from '../exit-codes.ts';
import { hostPath } from '../host-path.ts';
import type { Io } from '../io.ts';
import { interruptBySignal } from '../session.ts';
import type { SignalWatch } from '../signals.ts';
import { type VmTarget, vmTarget } from '../vm-target.ts';
import type { DoorAddress } from './options.ts';

const DEFAULT_TIMEOUT_S = 10;
/** An interpreted VM takes its time to load what the first client needs. */
const VM_TIMEOUT_S = 60;

/** A client of an agent's management door, for the time of one command. */
export interface Door extends AsyncDisposable {
  readonly client: ManagementClient;
  /** Aborted by a signal to gcsctl, and when nobody reads its output any more. */
  readonly signal: AbortSignal;
  readonly signals: SignalWatch;
}

/** Throws CliError with what to do when nobody serves the door. */
export async function openDoor(address: DoorAddress, io: Io): Promise<Door> {
  await using stack = new AsyncDisposableStack();
  const abort = new AbortController();
  const signals = stack.use(interruptBySignal(abort));
  const onOutputError = (error: Error): void => abort.abort(readerGone(error));
  io.stdout.on('error', onOutputError);
  stack.defer(() => void io.stdout.off('error', onOutputError));
  const target = findTarget(address, io);
  const timeout = address.timeout ?? (target.vm === undefined ? DEFAULT_TIMEOUT_S : VM_TIMEOUT_S);
  // Loaded here: JSON-RPC and the native addon are for those who use them.
  const { connectManagement } = await import('../../client/management/index.ts');
  const transport = stack.use(await hostOf(target));
  const client = await connectManagement(transport, {
    timeoutMs: timeout * 1000,
    signal: abort.signal,
    client: { name: 'gcsctl' },
  }).catch((error: unknown) => {
    throw explained(error, target, timeout);
  });
  stack.use(client);
  const owned = stack.move();
  return {
    client,
    signal: abort.signal,
    signals,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Target {
  readonly path: string;
  readonly vm: VmTarget | undefined;
}

function findTarget({ host, vm }: DoorAddress, io: Io): Target {
  if (vm === undefined) return { path: hostPath(host, io), vm: undefined };
  if (host !== undefined) throw new UsageError('--host and --vm exclude each other');
  const found = vmTarget(vm, io);
  return { path: found.directory.vsock, vm: found };
}

async function hostOf({ path, vm }: Target): Promise<Transport> {
  if (vm !== undefined) {
    const { vmHost } = await import('../vm-session.ts');
    return vmHost(vm);
  }
  const { EmulatedHost } = await import('../../vsock/emulator/host.ts');
  return new EmulatedHost(path);
}

function readerGone(error: Error): Error {
  return errnoNameOf(error) === 'EPIPE' ? new ReaderGone() : error;
}

function explained(error: unknown, { path, vm }: Target, timeout: number): unknown {
  if (!(error instanceof ManagementConnectionError)) return error;
  const text = (message: string) => new CliError(message, { cause: error });
  const where = vm === undefined ? `on ${path}` : `of VM ${vm.state.name}`;
  if (error.code !== 'no-agent') return text(`the agent ${where}: ${error.message}`);
  const see =
    vm === undefined
      ? `start one with "gcsctl agent --host ${path}"`
      : `see "gcsctl vm logs ${vm.state.name}"`;
  if (error.cause === undefined) {
    return text(`no agent ${where} has answered within ${timeout} s: ${see}`);
  }
  // An agent whose door is shut need not listen anywhere: the two cannot be told apart from here.
  return text(
    `no agent ${where}, or one whose management door is shut (-management=off): ${see}; ` +
      '"gcsctl ping" tells whether there is one',
  );
}
