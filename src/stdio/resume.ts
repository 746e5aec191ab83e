import type { DescriptorStore } from '../os/descriptor-store.ts';
import type { Fd } from '../os/fd.ts';
import { ConnectionSet, type StdioFds } from './connection-set.ts';
import { type PipeEnds, StdioKeeper } from './keeper.ts';
import type { OutputSettings } from './output-stream.ts';
import { PipeRelay, type RelaySettings } from './pipe-relay.ts';
import { type AgentPipes, type StdioSession, streamNames } from './stdio.ts';
import { TtyRelay } from './tty-relay.ts';

/** The descriptors of one process's streams as an agent left them behind; null = closed, or never there. */
export interface KeptStreams {
  readonly keeper: StdioKeeper;
  readonly pipes: AgentPipes;
  readonly connections: StdioFds;
  readonly master: Fd | null;
  readonly through: { stdin: PipeEnds | null; stdout: PipeEnds | null };
  readonly tees: { stdout: Fd | null; stderr: Fd | null };
}

function nothing(keeper: StdioKeeper): KeptStreams & { master: Fd | null } {
  return {
    keeper,
    pipes: { stdin: null, stdout: null, stderr: null },
    connections: { stdin: null, stdout: null, stderr: null },
    master: null,
    through: { stdin: null, stdout: null },
    tees: { stdout: null, stderr: null },
  };
}

/** Puts what came under one name in its place; false when the name or the number of descriptors is none of ours. */
function place(streams: ReturnType<typeof nothing>, rest: string, fds: readonly Fd[]): boolean {
  const { keeper, pipes, connections, through, tees } = streams;
  const [fd, second] = fds;
  const name = streamNames[Number.parseInt(rest, 10)];
  const part = rest.slice(2);
  if (fd === undefined || (second !== undefined) !== (part === 'm')) return false;
  if (rest === 't.p') streams.master = keeper.adopt('terminal', 'p', fd);
  else if (name === undefined) return false;
  else if (part === 'p') pipes[name] = keeper.adopt(name, 'p', fd);
  else if (part === 'h') connections[name] = keeper.adopt(name, 'h', fd);
  else if (part === 'l' && name !== 'stdin') tees[name] = keeper.adopt(name, 'l', fd);
  else if (part === 'm' && name !== 'stderr' && second !== undefined)
    through[name] = keeper.adoptPipe(name, { read: fd, write: second });
  else return false;
  return true;
}

/** Closes what nobody has taken out of `streams`, and drops it from the store. */
export function closeStreams(streams: KeptStreams): void {
  const { pipes, connections, master, through, tees } = streams;
  // A process's end goes before the host's: a connection whose pipe is still kept is taken for one
  // to go on with by whoever finds them.
  for (const group of [pipes, tees, connections])
    for (const fd of Object.values(group)) fd?.close();
  master?.close();
  for (const ends of Object.values(through)) {
    ends?.read.close();
    ends?.write.close();
  }
}

/**
 * Takes the descriptors of one process out of the store, where they stay kept until they are closed.
 *
 * @param names of all that the store has; asked for when absent, which for many processes is worth
 * doing once. Throws OsError when the store's owner has gone.
 */
export async function fetchStreams(
  store: DescriptorStore,
  number: number,
  names?: readonly string[],
): Promise<KeptStreams> {
  const prefix = `s${number}.`;
  const streams = nothing(new StdioKeeper(store, number));
  for (const name of names ?? (await store.names())) {
    if (!name.startsWith(prefix)) continue;
    const fds = await store.fetch(name);
    if (place(streams, name.slice(prefix.length), fds)) continue;
    for (const fd of fds) fd.close();
    store.drop(name);
  }
  return streams;
}

export interface ResumeOptions extends RelaySettings, OutputSettings {
  terminal: boolean;
}

/**
 * Goes on with the streams of a process that was started. What the agent before had ended ends here
 * again, without harm to anybody: a stream whose process end is gone is closed, stdin's connection
 * alone stays until the process has exited.
 *
 * Throws OsError (EMFILE, EAGAIN) when a relay cannot be started; everything is closed then.
 */
export function resumeSession(streams: KeptStreams, options: ResumeOptions): StdioSession {
  const { keeper, pipes, master, through, tees } = streams;
  const connections = new ConnectionSet(streams.connections);
  const { terminal, ...settings } = options;
  if (!terminal)
    return new PipeRelay({ connections, pipes, tee: tees, resumed: true, ...settings });
  if (master !== null)
    return new TtyRelay({ connections, master, through, tee: tees.stdout, keeper, ...settings });
  // Hung up by the agent before, which closes the master first.
  closeStreams({ ...streams, connections: connections.take() });
  return new PipeRelay({
    connections,
    pipes: { stdin: null, stdout: null, stderr: null },
    ...settings,
  });
}
