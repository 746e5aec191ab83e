import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { acceptOnce } from '../vsock/accept-once.ts';
import { EmulatedHost } from '../vsock/emulator/host.ts';
import { isPort } from '../vsock/failure.ts';
import type { Connection, Port } from '../vsock/transport.ts';
import { TransportError } from '../vsock/transport.ts';

const HELP = `Usage: gcsctl vsock listen [options] PATH PORT
       gcsctl vsock dial   [options] PATH PORT

The host's end of an emulated vsock (hybrid:PATH), joined to standard input and output.

  listen   Listens on host port PORT (the unix socket PATH_PORT), takes one connection that the
           guest dials, and stops listening. Says on standard error when it is ready.
  dial     Connects to guest port PORT (over the unix socket PATH, "CONNECT PORT").

PORT is decimal, or hexadecimal with 0x. The end of standard input ends the stream towards the
guest and leaves the other direction open. The command ends when both directions have ended, or
with the guest's direction alone when standard input is a terminal or is not read.

Options:
  -n, --no-stdin        Do not read standard input; the direction to the guest stays open.
  -t, --timeout SECONDS Wait this long for the connection (listen: for ever; dial: 10).
  -h, --help            Show this text.

Exit codes: 0 the stream ended, 1 it could not be opened or broke, 2 wrong usage.
`;

interface Invocation {
  verb: 'listen' | 'dial';
  path: string;
  port: Port;
  readStdin: boolean;
  /** Milliseconds; undefined: the verb's own default. */
  timeoutMs: number | undefined;
}

class UsageError extends Error {}

/** `gcsctl vsock …`; `args` are the words after "vsock". Resolves with the exit code. */
export async function vsockCommand(args: string[]): Promise<number> {
  try {
    const invocation = parse(args);
    if (invocation === 'help') {
      process.stdout.write(HELP);
      return 0;
    }
    await using host = new EmulatedHost(invocation.path);
    const connection = await open(host, invocation);
    await join(connection.stream(), invocation.readStdin);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`gcsctl vsock: ${error.message}\n\n${HELP}`);
      return 2;
    }
    if (!(error instanceof TransportError) && !isStreamError(error)) throw error;
    process.stderr.write(`gcsctl vsock: ${error.message}\n`);
    return 1;
  }
}

function parse(args: string[]): Invocation | 'help' {
  const { values, positionals } = parseWords(args);
  if (values.help) return 'help';
  const [verb, path, portText, ...rest] = positionals;
  if (verb !== 'listen' && verb !== 'dial')
    throw new UsageError(`${JSON.stringify(verb ?? '')} is neither "listen" nor "dial"`);
  if (path === undefined || path === '' || portText === undefined || rest.length > 0)
    throw new UsageError(`${verb} takes PATH and PORT`);
  const port = /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(portText) ? Number(portText) : Number.NaN;
  if (!isPort(port)) throw new UsageError(`PORT: ${JSON.stringify(portText)} is no port number`);
  return {
    verb,
    path,
    port,
    readStdin: !values['no-stdin'],
    timeoutMs: values.timeout === undefined ? undefined : milliseconds(values.timeout),
  };
}

function parseWords(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        'no-stdin': { type: 'boolean', short: 'n', default: false },
        timeout: { type: 'string', short: 't' },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Longest delay of a timer in Node, 2^31-1 ms. */
const LONGEST_TIMEOUT_S = 2_147_483;

function milliseconds(text: string): number {
  const seconds = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds > 0 && seconds <= LONGEST_TIMEOUT_S) return seconds * 1000;
  throw new UsageError(`--timeout: ${JSON.stringify(text)} is no number of seconds`);
}

async function open(host: EmulatedHost, invocation: Invocation): Promise<Connection> {
  const { port, timeoutMs } = invocation;
  if (invocation.verb === 'dial')
    return host.dial(port, timeoutMs === undefined ? {} : { timeoutMs });
  const listener = await host.listen(port);
  process.stderr.write(`gcsctl vsock: listening on ${invocation.path}_${port}\n`);
  if (timeoutMs === undefined) return acceptOnce(listener);
  const deadline = new AbortController();
  const tooLate = new TransportError('timeout', `nobody dialed port ${port} in time`, {
    transport: host.name,
    port,
  });
  const timer = setTimeout(() => deadline.abort(tooLate), timeoutMs);
  try {
    return await acceptOnce(listener, { signal: deadline.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves once the stream has ended both ways, or one way when the other one has no end in sight. */
async function join(stream: Duplex, readStdin: boolean): Promise<void> {
  const endless = !readStdin || process.stdin.isTTY === true;
  // Whoever read our output has gone: so goes the connection.
  const onOutputError = (error: Error) => stream.destroy(error);
  process.stdout.once('error', onOutputError);
  if (readStdin) process.stdin.pipe(stream);
  stream.pipe(process.stdout, { end: false });
  stream.once('end', () => {
    if (endless) stream.end();
  });
  try {
    await finished(stream);
  } finally {
    process.stdout.off('error', onOutputError);
    // A pipe that is still being read would keep the process alive.
    if (readStdin) process.stdin.unpipe(stream).destroy();
    stream.destroy();
  }
}

function isStreamError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}
