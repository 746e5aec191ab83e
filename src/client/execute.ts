import type { RequestInput } from '../bridge/catalogue.ts';
import { NULL_CONTAINER_ID } from '../bridge/message-types.ts';
import type { GuestBridge, RpcOptions } from './bridge.ts';
import { BridgeError } from './errors.ts';
import { GuestProcess } from './process.ts';
import type { ContainerRegistry } from './registry.ts';
import type {
  ProcessStreams,
  StdioEndpoint,
  StdioListeners,
  StreamName,
  StreamOptions,
} from './stdio.ts';

/** Milliseconds between the reply and the last accept: a guest has dialed everything before it replies. */
const DIALED_WITHIN_MS = 5000;

type Parameters = RequestInput<'ExecuteProcess'>['Settings']['ProcessParameters'];

/** What it takes to talk to one guest. */
export interface GuestContext {
  readonly bridge: GuestBridge;
  /** Undefined for a client over a bare connection, which can carry no streams. */
  readonly stdio: StdioEndpoint | undefined;
  readonly containers: ContainerRegistry;
}

/** ExecuteProcess with its streams: listens, asks, takes the connections. Nothing is left when it fails. */
export async function execute(
  context: GuestContext,
  containerId: string | null,
  parameters: Parameters,
  streams: readonly StreamName[],
  options: RpcOptions,
): Promise<GuestProcess> {
  using listeners = await listen(context, streams);
  const { bridge } = context;
  const reply = await bridge.rpc(
    'ExecuteProcess',
    {
      ContainerId: containerId ?? NULL_CONTAINER_ID,
      Settings: {
        ProcessParameters: {
          ...parameters,
          CreateStdInPipe: streams.includes('stdin'),
          CreateStdOutPipe: streams.includes('stdout'),
          CreateStdErrPipe: streams.includes('stderr'),
        },
        VsockStdioRelaySettings: {
          StdIn: listeners?.port('stdin'),
          StdOut: listeners?.port('stdout'),
          StdErr: listeners?.port('stderr'),
        },
      },
    },
    options,
  );
  const pid = reply.ProcessId;
  if (pid === undefined) throw bridge.breach('the reply to ExecuteProcess has no ProcessId');
  const connected = await connect(bridge, listeners, { pid, containerId });
  const process = new GuestProcess(bridge, { pid, containerId }, connected);
  // Asked for at once, as hcsshim does: a guest keeps the code of an exec until somebody had it.
  void process.exited;
  return process;
}

/** The streams that are wanted of a process. */
export function streamNames(options: StreamOptions, terminal: boolean): StreamName[] {
  const names: StreamName[] = [];
  if (options.stdin ?? false) names.push('stdin');
  if (options.stdout ?? true) names.push('stdout');
  if (options.stderr ?? !terminal) names.push('stderr');
  return names;
}

async function listen(
  context: GuestContext,
  streams: readonly StreamName[],
): Promise<StdioListeners | undefined> {
  if (streams.length === 0) return undefined;
  if (context.stdio === undefined) {
    throw new BridgeError('invalid-request', 'a client over a bare connection carries no streams');
  }
  return context.stdio.listen(streams);
}

async function connect(
  bridge: GuestBridge,
  listeners: StdioListeners | undefined,
  identity: { pid: number; containerId: string | null },
): Promise<ProcessStreams> {
  if (listeners === undefined) return {};
  try {
    return await listeners.connected(DIALED_WITHIN_MS);
  } catch (cause) {
    const what = cause instanceof BridgeError ? bridge.breach(cause.message) : cause;
    // Where the bridge outlives the breach, so would a process that nobody holds.
    await new GuestProcess(bridge, identity)[Symbol.asyncDispose]();
    throw what;
  }
}
