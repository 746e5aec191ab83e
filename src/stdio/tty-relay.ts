import { silentLogger } from '../log/logger.ts';
import type { Fd } from '../os/fd.ts';
import { setWindowSize, type WindowSize } from '../os/pty.ts';
import { InputStream } from './input-stream.ts';
import { defaultDrainPolicy } from './limits.ts';
import { OutputStream } from './output-stream.ts';
import { openSink, type RelaySessionOptions } from './pipe-relay.ts';
import { RelayedSession } from './relayed-session.ts';
import { StreamGroup } from './stream-group.ts';

export interface TtyRelayOptions extends RelaySessionOptions {
  /** The pty's master. Owned by the session from now on, also when it cannot be started. */
  master: Fd;
  /** Log file that gets a copy of all output. Owned like the master. */
  tee?: Fd;
}

function startOutput(options: TtyRelayOptions, connection: Fd | null): OutputStream {
  const { master, tee, policy = defaultDrainPolicy, log = silentLogger } = options;
  return new OutputStream({
    source: master,
    sourceKind: 'pty',
    destination: connection ?? openSink(),
    atEnd: 'close',
    tee,
    policy,
    log: log.with({ stream: 'stdout' }),
  });
}

function startStreams(options: TtyRelayOptions): StreamGroup {
  const { log = silentLogger, master } = options;
  const { stdin, stdout, stderr } = options.connections.take();
  // A terminal has one output, and it is stdout's.
  stderr?.close();
  let inputMaster: Fd | undefined;
  let output: OutputStream | undefined;
  try {
    // Before the output, which owns the master and may close it at any time.
    if (stdin !== null) inputMaster = master.dup();
    output = startOutput(options, stdout);
    if (stdin === null || inputMaster === undefined) return new StreamGroup({ stdout: output });
    const input = new InputStream({
      source: stdin,
      destination: inputMaster,
      destinationKind: 'pty',
      log: log.with({ stream: 'stdin' }),
    });
    // The terminal is hung up only when the last descriptor of its master is closed.
    void output.ended.then(() => input.stop());
    return new StreamGroup({ stdin: input, stdout: output });
  } catch (error) {
    stdin?.close();
    inputMaster?.close();
    if (output === undefined) for (const fd of [master, stdout, options.tee]) fd?.close();
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
