import type { Fd } from '../os/fd.ts';
import type { WindowSize } from '../os/pty.ts';
import type { Port } from '../vsock/transport.ts';

export type StreamName = 'stdin' | 'stdout' | 'stderr';
/** In the order of their descriptors, which is also the order of the dials. */
export const streamNames: readonly StreamName[] = ['stdin', 'stdout', 'stderr'];

/** Ports of the streams a process was asked to have; absent = not wanted. */
export interface StdioPorts {
  stdin?: Port;
  stdout?: Port;
  stderr?: Port;
}

export type StreamOutcome =
  /** Everything the writing side wrote was delivered, and its end too. */
  | 'drained'
  /** The host closed its end first, or its connection died. */
  | 'host-closed'
  /** stdin: the process closed its end, or ended, before the host did. */
  | 'process-closed'
  /** The bound was reached while something still held the stream, or the session was aborted. */
  | 'cut'
  | 'error'
  /** Not ended; in snapshots only. */
  | 'open';

/** How one stream ended and what it carried. */
export interface StreamReport {
  bytes: number;
  outcome: StreamOutcome;
}
export type StdioReport = Partial<Record<StreamName, StreamReport>>;

/** Bounds of the end of a process's streams; see LIMITS.md. */
export interface DrainPolicy {
  /** Milliseconds after the exit in which a stream that something else (a background child) still holds open may end by itself. What the process itself wrote is delivered without a bound. */
  grandchildMs: number;
  /** Milliseconds the host is given to close a stream after it was ended, before the wait is answered without that. */
  hostCloseMs: number;
}

/**
 * The streams of one running process, from its start to the last byte. Knows two events: the
 * process exited (told from outside) and the streams are drained.
 */
export interface StdioSession {
  /** Settles when the wait reply may be sent: all the process wrote is delivered and the host has closed, or a bound of DrainPolicy was reached. Never rejects. */
  readonly drained: Promise<StdioReport>;
  /** Settles when every descriptor is closed and every thread has ended. */
  readonly closed: Promise<StdioReport>;
  /** The process has exited: starts the drain. */
  processExited(): void;
  /** TIOCSWINSZ; throws when it is no terminal. No effect after the end. */
  resize(size: WindowSize): void;
  readonly terminal: boolean;
  /** Takes no more from the host for stdin: the process sees its end. No effect on a terminal. */
  closeStdin(): void;
  /** Ends every stream now, whatever is in flight (container deleted, agent ending). */
  abort(): void;
  /** Bytes so far, for DumpStacks and logs. */
  snapshot(): StdioReport;
}

/** The agent's ends of the pipes of a process. Owned by the session once given to it. */
export interface AgentPipes {
  stdin: Fd | null;
  stdout: Fd | null;
  stderr: Fd | null;
}
