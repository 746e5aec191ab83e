/** The steps a host goes through with one container, on the raw client. */
import { once } from 'node:events';
import type net from 'node:net';
import { text } from 'node:stream/consumers';
import { decodeExact, encodeExact } from './exact-json.ts';
import { NULL_CONTAINER, RAW, type RawBridge, type RawHost, type RawPort } from './raw-client.ts';

export interface RawStreams {
  stdin?: net.Socket;
  stdout?: net.Socket;
  stderr?: net.Socket;
}

export interface RawProcess extends RawStreams {
  pid: number;
}

/** Which streams the process gets; default stdout and stderr. */
export interface StreamChoice {
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  /** Called when all ports are listened on, right before the request is sent. */
  onSend?: () => void;
}

export async function negotiate(bridge: RawBridge): Promise<Record<string, unknown>> {
  const reply = await bridge.call(RAW.negotiate, {
    ContainerId: NULL_CONTAINER,
    MinimumVersion: 4,
    MaximumVersion: 4,
  });
  return reply.body;
}

/** Resolves when the agent has loaded what serves requests, and so holds what it holds as long as it lives. */
export async function untilServing(bridge: RawBridge): Promise<void> {
  // Before the negotiation it is refused.
  await bridge.request(RAW.dumpStacks, { ContainerId: NULL_CONTAINER });
}

export async function create(
  bridge: RawBridge,
  id: string,
  bundle: string,
  spec: object,
  extra: object = {},
): Promise<void> {
  await bridge.call(RAW.create, {
    ContainerId: id,
    ContainerConfig: encodeExact({
      SchemaVersion: { Major: 2, Minor: 1 },
      OciBundlePath: bundle,
      OciSpecification: spec,
      ...extra,
    }),
  });
}

/** ExecuteProcess with its ports listened on first, and all its connections accepted. */
async function execute(
  host: RawHost,
  bridge: RawBridge,
  containerId: string,
  parameters: object,
  choice: StreamChoice,
): Promise<RawProcess> {
  const ports: { stdin?: RawPort; stdout?: RawPort; stderr?: RawPort } = {};
  if (choice.stdin) ports.stdin = await host.listenPort();
  if (choice.stdout) ports.stdout = await host.listenPort();
  if (choice.stderr) ports.stderr = await host.listenPort();
  try {
    choice.onSend?.();
    const reply = await bridge.call(RAW.executeProcess, {
      ContainerId: containerId,
      Settings: {
        ProcessParameters: encodeExact({
          CreateStdInPipe: choice.stdin ?? false,
          CreateStdOutPipe: choice.stdout ?? false,
          CreateStdErrPipe: choice.stderr ?? false,
          ...parameters,
        }),
        VsockStdioRelaySettings: {
          ...(ports.stdin ? { StdIn: ports.stdin.port } : {}),
          ...(ports.stdout ? { StdOut: ports.stdout.port } : {}),
          ...(ports.stderr ? { StdErr: ports.stderr.port } : {}),
        },
      },
    });
    const process: RawProcess = { pid: Number(reply.body.ProcessId) };
    // All were dialed before the reply, so none of these waits for anything but this event loop.
    if (ports.stdin) process.stdin = await ports.stdin.connection;
    if (ports.stdout) process.stdout = await ports.stdout.connection;
    if (ports.stderr) process.stderr = await ports.stderr.connection;
    return process;
  } catch (error) {
    // Dialed by an agent that then failed: nobody else would close them.
    for (const port of Object.values(ports)) void port.connection.then((made) => made.destroy());
    throw error;
  } finally {
    for (const port of Object.values(ports)) port.close();
  }
}

const OUTPUT: StreamChoice = { stdout: true, stderr: true };

export function startInit(
  host: RawHost,
  bridge: RawBridge,
  id: string,
  choice: StreamChoice = OUTPUT,
): Promise<RawProcess> {
  return execute(host, bridge, id, {}, choice);
}

/** `process` is an OCI process object. */
export function exec(
  host: RawHost,
  bridge: RawBridge,
  id: string,
  process: object,
  choice: StreamChoice = OUTPUT,
): Promise<RawProcess> {
  return execute(host, bridge, id, { OciProcess: process }, choice);
}

/** `parameters`: CommandArgs or CommandLine, WorkingDirectory, Environment, EmulateConsole. */
export function execInUvm(
  host: RawHost,
  bridge: RawBridge,
  parameters: object,
  choice: StreamChoice = OUTPUT,
): Promise<RawProcess> {
  return execute(host, bridge, NULL_CONTAINER, parameters, choice);
}

/** The exit code; `timeoutMs` default none. */
export async function wait(
  bridge: RawBridge,
  id: string,
  pid: number,
  timeoutMs = 0xffffffff,
): Promise<number> {
  const reply = await bridge.call(RAW.waitForProcess, {
    ContainerId: id,
    ProcessId: pid,
    TimeoutInMs: timeoutMs,
  });
  return Number(reply.body.ExitCode);
}

/** Reads a stream to its end and closes it, as a host does. */
export async function readAll(socket: net.Socket | undefined): Promise<string> {
  if (!socket) return '';
  const all = await text(socket);
  socket.destroy();
  return all;
}

/** Reads both outputs to the end while waiting for the exit code. */
export async function finish(
  bridge: RawBridge,
  id: string,
  process: RawProcess,
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const [exitCode, stdout, stderr] = await Promise.all([
    wait(bridge, id, process.pid),
    readAll(process.stdout),
    readAll(process.stderr),
  ]);
  process.stdin?.destroy();
  return { exitCode, stdout, stderr };
}

export async function signal(
  bridge: RawBridge,
  id: string,
  pid: number,
  number?: number,
): Promise<void> {
  await bridge.call(RAW.signalProcess, {
    ContainerId: id,
    ProcessId: pid,
    ...(number === undefined ? {} : { Options: { Signal: number } }),
  });
}

export async function deleteState(bridge: RawBridge, id: string): Promise<void> {
  await bridge.call(RAW.deleteContainerState, { ContainerId: id });
}

/** GetProperties with the embedded JSON decoded. */
export async function properties(
  bridge: RawBridge,
  id: string,
  types: string[],
): Promise<Record<string, unknown>> {
  const reply = await bridge.call(RAW.getProperties, {
    ContainerId: id,
    Query: JSON.stringify({ PropertyTypes: types }),
  });
  return decodeExact(String(reply.body.Properties)) as Record<string, unknown>;
}

/** Resolves with the first chunk of a stream, which goes on flowing. */
export async function firstData(socket: net.Socket | undefined): Promise<Buffer> {
  if (!socket) throw new Error('the process has no such stream');
  const data = once(socket, 'data');
  // Accepted sockets are paused, so that nothing is lost before somebody listens.
  socket.resume();
  const [chunk] = (await data) as [Buffer];
  return chunk;
}

/** What has come over a stream, as text, while it goes on. */
export class OutputSoFar {
  text = '';
  readonly #socket: net.Socket;

  constructor(socket: net.Socket | undefined) {
    if (!socket) throw new Error('the process has no such stream');
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.text += text;
    });
    socket.once('end', () => socket.destroy());
    socket.resume();
  }

  /** Resolves when `part` has come; rejects when the stream ended without it. */
  async contains(part: string): Promise<void> {
    while (!this.text.includes(part)) {
      if (this.#socket.destroyed) {
        throw new Error(`ended without ${JSON.stringify(part)}: ${JSON.stringify(this.text)}`);
      }
      const stop = new AbortController();
      const options = { signal: stop.signal };
      await Promise.race([
        once(this.#socket, 'data', options),
        once(this.#socket, 'close', options),
      ]);
      stop.abort();
    }
  }
}
