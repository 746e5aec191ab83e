/**
 * The agent's half of streams and nothing else: one process with pipes and one on a terminal, both
 * relayed to the host. Started by our supervisor, and again whenever it is killed. Then it takes up
 * the streams again and waits for the same processes.
 *
 * Arguments: directory (for its notes, and `host_<port>`, the host's sockets), script of the process
 * with pipes, script of the one on a terminal. Says "relaying" once both are relayed, and at the end
 * "over" with the codes and the outcomes of the streams.
 */
import { existsSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { InitDescriptorStore } from '../../src/os/descriptor-store.ts';
import { InitChannel } from '../../src/os/init-channel.ts';
import { adoptKnown } from '../../src/os/known-process.ts';
import { type Child, exitCodeOf } from '../../src/os/process.ts';
import { openPty } from '../../src/os/pty.ts';
import { Reaper } from '../../src/os/reaper.ts';
import { ConnectionSet } from '../../src/stdio/connection-set.ts';
import { openCriLog } from '../../src/stdio/cri-log.ts';
import { StdioKeeper } from '../../src/stdio/keeper.ts';
import { PipeRelay } from '../../src/stdio/pipe-relay.ts';
import { ProcessPipes } from '../../src/stdio/process-pipes.ts';
import { fetchStreams, resumeSession } from '../../src/stdio/resume.ts';
import type { StdioReport, StdioSession } from '../../src/stdio/stdio.ts';
import { TtyRelay } from '../../src/stdio/tty-relay.ts';
import { HybridTransport } from '../../src/vsock/hybrid.ts';

const [directory = '', pipedScript = '', terminalScript = ''] = process.argv.slice(2);
const say = (text: string): void => void writeSync(1, `${text}\n`);
const channel = InitChannel.fromEnvironment();
if (channel === undefined) throw new Error('no supervisor of ours');
const store = new InitDescriptorStore(channel, (problem) => say(`problem: ${problem}`));
const reaper = Reaper.start();
const notes = join(directory, 'processes.json');
const policy = { grandchildMs: 600_000, hostCloseMs: 600_000 };
const env = [`PATH=${process.env.PATH}`];
const criLog = openCriLog(join(directory, 'piped.log'), { maxBytes: 0 });

interface Note {
  pid: number;
  startTime: number;
}

interface Streamed {
  child: Child;
  session: StdioSession;
}

async function startPiped(transport: HybridTransport): Promise<Streamed> {
  const keeper = new StdioKeeper(store, 1);
  const ports = { stdin: 1, stdout: 2, stderr: 3 };
  const connections = await ConnectionSet.dial(transport, ports, { keeper });
  using pipes = new ProcessPipes({ stdin: true, stdout: true, stderr: true }, 'dev-null', keeper);
  const args = ['/bin/sh', '-c', pipedScript, 'sh', directory];
  const child = reaper.spawn({ file: '/bin/sh', args, env, stdio: pipes.stdio });
  pipes.closeProcessEnds();
  const session = new PipeRelay({ connections, pipes: pipes.takeAgentEnds(), policy, criLog });
  return { child, session };
}

async function startOnTerminal(transport: HybridTransport): Promise<Streamed> {
  const keeper = new StdioKeeper(store, 2);
  const connections = await ConnectionSet.dial(transport, { stdin: 11, stdout: 12 }, { keeper });
  const { master: opened, path } = openPty();
  const master = keeper.keep('terminal', 'p', opened);
  const args = ['/bin/sh', '-c', terminalScript, 'sh', directory];
  const child = reaper.spawn({ file: '/bin/sh', args, env, stdio: [], terminal: path });
  return { child, session: new TtyRelay({ connections, master, policy, keeper }) };
}

async function start(): Promise<Streamed[]> {
  const transport = new HybridTransport(join(directory, 'host'));
  const both = [await startPiped(transport), await startOnTerminal(transport)];
  const said: Note[] = both.map(({ child: { pid, startTime } }) => ({ pid, startTime }));
  writeFileSync(`${notes}.new`, JSON.stringify(said));
  renameSync(`${notes}.new`, notes);
  return both;
}

async function takeUp(): Promise<Streamed[]> {
  const known = JSON.parse(readFileSync(notes, 'utf8')) as Note[];
  const names = await store.names();
  const both: Streamed[] = [];
  for (const [index, note] of known.entries()) {
    const terminal = index === 1;
    const kept = await fetchStreams(store, index + 1, names);
    const session = resumeSession(kept, { terminal, policy, ...(terminal ? {} : { criLog }) });
    both.push({ session, child: adoptKnown(reaper, note) });
  }
  return both;
}

async function end({ child, session }: Streamed): Promise<{ code: number; report: StdioReport }> {
  const status = await child.exited;
  session.processExited();
  return { code: exitCodeOf(status), report: await session.closed };
}

const both = existsSync(notes) ? await takeUp() : await start();
await channel.request('ready');
say('relaying');
const ends = await Promise.all(both.map(end));
say(`kept ${JSON.stringify(await store.names())}`);
say(`over ${JSON.stringify(ends)}`);
process.exit(0);
