import { silentLogger } from '../log/logger.ts';
import type { Fd } from '../os/fd.ts';
import { pipe } from '../os/pipe.ts';
import { setWindowSize, type WindowSize } from '../os/pty.ts';
import { InputStream } from './input-stream.ts';
import type { PipeEnds, StdioKeeper } from './keeper.ts';
import { defaultDrainPolicy } from './limits.ts';
import { OutputStream, openSink } from './output-stream.ts';
import type { RelaySessionOptions } from './pipe-relay.ts';
import { RelayedSession } from './relayed-session.ts';
import { StreamGroup } from './stream-group.ts';

export interface TtyRelayOptions extends RelaySessionOptions {
  /** The pty's master. Owned by the session from now on, also when it cannot be started. */
  master: Fd;
  /** Log file that gets a copy of all output. Owned like the master. */
  tee?: Fd | null;
  /** Keeps the pipes between the terminal and its connections. */
  keeper?: StdioKeeper | undefined;
  /** Those pipes of an agent before this one, with what is in them. Owned like the master. */
  through?: { stdin: PipeEnds | null; stdout: PipeEnds | null };
}

/** What the streams of a terminal are made of, until they own it. */
class Parts {
  readonly stdin: Fd | null;
  readonly stdout: Fd | null;
  readonly through: { stdin: PipeEnds | null; stdout: PipeEnds | null };
  inputMaster: Fd | null = null;

  constructor(options: TtyRelayOptions) {
    const { stdin, stdout, stderr } = options.connections.take();
    // A terminal has one output, and it is stdout's.
    stderr?.close();
    this.stdin = stdin;
    this.stdout = stdout;
    this.through = { stdin: null, stdout: null, ...options.through };
  }

  /** Throws OsError (EMFILE). */
  complete({ keeper, master }: TtyRelayOptions): void {
    for (const name of ['stdin', 'stdout'] as const) {
      if (this.through[name] !== null || (name === 'stdin' && this.stdin === null)) continue;
      const ends = pipe();
      this.through[name] = keeper?.keepPipe(name, ends) ?? ends;
    }
    if (this.stdin !== null) this.inputMaster = master.dup();
  }

  closeInput(): void {
    const { stdin, inputMaster, through } = this;
    for (const fd of [through.stdin?.read, through.stdin?.write, inputMaster, stdin]) fd?.close();
  }

  closeOutput(options: TtyRelayOptions): void {
    const { stdout, through } = this;
    const { master, tee } = options;
    for (const fd of [master, through.stdout?.read, through.stdout?.write, stdout, tee])
      fd?.close();
  }
}

function startOutput(options: TtyRelayOptions, parts: Parts): OutputStream {
  const { master, tee, policy = defaultDrainPolicy, log = silentLogger } = options;
  return new OutputStream({
    source: master,
    sourceKind: 'pty',
    destination: parts.stdout ?? openSink(),
    atEnd: 'close',
    through: parts.through.stdout ?? undefined,
    tee: tee ?? undefined,
    name: 'stdout',
    outliveHost: options.outliveHost,
    criLog: options.criLog,
    policy,
    log: log.with({ stream: 'stdout' }),
  });
}

function startStreams(options: TtyRelayOptions): StreamGroup {
  const { log = silentLogger } = options;
  const parts = new Parts(options);
  let output: OutputStream | undefined;
  try {
    // Before the output, which owns the master and may close it at any time.
    parts.complete(options);
    output = startOutput(options, parts);
    const { stdin, inputMaster, through } = parts;
    if (stdin === null || inputMaster === null) {
      parts.closeInput();
      return new StreamGroup({ stdout: output });
    }
    const input = new InputStream({
      source: stdin,
      destination: inputMaster,
      destinationKind: 'pty',
      through: through.stdin ?? undefined,
      log: log.with({ stream: 'stdin' }),
    });
    // The terminal is hung up only when the last descriptor of its master is closed.
    void output.ended.then(() => input.stop());
    return new StreamGroup({ stdin: input, stdout: output });
  } catch (error) {
    parts.closeInput();
    if (output === undefined) parts.closeOutput(options);
    else output.abort();
    throw error;
  }
}

/**
 * Relays the terminal of one process: master to stdout, stdin to master. It may start before the
 * process has opened the slave: the kernel keeps what is typed ahead.
 *
 * - Without a stdout connection the output is read and thrown away: a terminal nobody reads would
 *   block the process.
 * - A host that closes stdout hangs the terminal up, as a modem line that drops: the foreground
 *   processes get SIGHUP, further writes EIO.
 * - The output ends when the last slave is closed, or with the grandchild bound of DrainPolicy when a
 *   background child holds on to it. A slave that is opened again after that is not read any more.
 */
export class TtyRelay extends RelayedSession {
  override readonly terminal = true;
  protected override readonly group: StreamGroup;
  readonly #master: Fd;

  /** Throws OsError (EMFILE, EAGAIN) when a relay cannot be started; everything is closed then. */
  constructor(options: TtyRelayOptions) {
    super();
    this.#master = options.master;
    this.group = startStreams(options);
  }

  /** Throws OsError EINVAL for a side outside 0 to 65535. */
  override resize(size: WindowSize): void {
    if (this.#master.open) setWindowSize(this.#master, size);
  }
}
