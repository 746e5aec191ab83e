/**
 * An agent that has nothing but descriptors: it does what it is told on standard input, a JSON array
 * [number, command, argument…] a line, and answers with the number and JSON. Started by a supervisor.
 */
import { readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { InitDescriptorStore } from '../../src/os/descriptor-store.ts';
import { Fd } from '../../src/os/fd.ts';
import { InitChannel } from '../../src/os/init-channel.ts';
import { native } from '../../src/os/native.ts';
import { pipe } from '../../src/os/pipe.ts';
import { untilReady } from '../../src/os/poll.ts';
import { receiveFds, sendFds } from '../../src/os/rights.ts';

const POLLIN = 0x1;
const POLLHUP = 0x10;
// A second end of the channel, which works on a copy and closes the inherited one.
const inherited = new Fd(Number(process.env.GCS_INIT_FD));
const second = inherited.dup();
inherited.take();
const channel = InitChannel.fromEnvironment();
if (channel === undefined) throw new Error('no supervisor has started this');
const problems: string[] = [];
const store = new InitDescriptorStore(channel, (problem) => problems.push(problem));
const held = new Map<string, Fd>();

/** A pipe's read end with this text in it, and the pipe's write end for as long as this lives. */
function filled(text: string): Fd {
  const { read, write } = pipe();
  native().writeBytes(write.raw, Buffer.from(text));
  held.set(text, write);
  return read;
}

function keep(name: string, count: number): void {
  const fds = Array.from({ length: count }, (_, index) => filled(`${name}/${index}`));
  store.keep(name, fds);
  for (const fd of fds) fd.close();
}

async function drained(fd: Fd): Promise<string> {
  const bytes = Buffer.alloc(64);
  await untilReady(fd.raw, { read: true });
  const length = native().readBytes(fd.raw, bytes);
  fd.close();
  return bytes.toString('utf8', 0, length);
}

/** So many requests in the kernel's hands before one reply is read; the replies. */
async function stuff(request: string): Promise<{ sent: number; replies: string[] }> {
  channel?.[Symbol.dispose]();
  using own = second;
  let sent = 0;
  for (;;) {
    try {
      sendFds(own, Buffer.from(`${request} ${sent}`), []);
      sent++;
    } catch {
      // Full, perhaps for a moment: init has stopped to read when it stays so.
      const signal = AbortSignal.timeout(300);
      const room = untilReady(own.raw, { write: true }, { signal }).catch(() => undefined);
      if ((await room) === undefined) break;
    }
  }
  const replies: string[] = [];
  while (replies.length < sent) replies.push((await receiveFds(own)).data.toString());
  return { sent, replies };
}

const commands: Record<string, (...args: never[]) => unknown> = {
  pid: () => process.pid,
  available: () => store.available,
  machine: () => channel.ownsMachine,
  problems: () => problems,
  request: (text: string) => channel.request(text),
  names: () => store.names(),
  keep: async (name: string, count: number) => {
    keep(name, count);
    // Answered in order: the store has decided.
    await channel.request('list 0');
  },
  drop: async (name: string) => {
    store.drop(name);
    await channel.request('list 0');
  },
  dropMany: async (prefix: string, count: number) => {
    for (let i = 0; i < count; i++) store.drop(`${prefix}${i}`);
    await channel.request('list 0');
  },
  fetch: async (name: string) => {
    const texts: string[] = [];
    for (const fd of await store.fetch(name)) texts.push(await drained(fd));
    return texts;
  },
  /** What is kept leads to the same file as ever. */
  files: async (name: string) => {
    const fds = await store.fetch(name);
    const files = fds.map((fd) => readlinkSync(`/proc/self/fd/${fd.raw}`));
    for (const fd of fds) fd.close();
    return files;
  },
  /** One pipe under many names. */
  keepMany: async (prefix: string, entries: number, count: number) => {
    using end = filled(prefix);
    const fds = Array.from({ length: count }, () => end);
    for (let i = 0; i < entries; i++) store.keep(`${prefix}${i}`, fds);
    await channel.request('list 0');
  },
  /** Keeps and is gone before anything is answered. */
  keepAndDie: (prefix: string, entries: number) => {
    for (let i = 0; i < entries; i++) keep(`${prefix}${i}`, 1);
    process.kill(process.pid, 'SIGKILL');
  },
  /** The same with a supervisor that is not scheduled meanwhile, and a reply that is never read. */
  keepUnseenAndDie: (prefix: string, entries: number) => {
    void channel.request('list 0');
    while ((native().pollNow(second.raw, POLLIN) & POLLIN) === 0);
    process.kill(process.ppid, 'SIGSTOP');
    for (let i = 0; i < entries; i++) keep(`${prefix}${i}`, 1);
    process.kill(process.pid, 'SIGKILL');
  },
  keepRaw: async (name: string, count: number) => {
    using end = filled(name);
    const fds = Array.from({ length: count }, () => end);
    return (await channel.send(`store ${name}`, fds)).text;
  },
  /** The store's copy of a pipe's write end is the last one when ours is closed. */
  keepWriter: async (name: string) => {
    const { read, write } = pipe();
    store.keep(name, [write]);
    write.close();
    await channel.request('list 0');
    held.set(name, read);
  },
  /** Whether nobody holds its write end any more. */
  hungUp: (name: string) => {
    const fd = held.get(name);
    return fd !== undefined && (native().pollNow(fd.raw, POLLHUP) & POLLHUP) !== 0;
  },
  outliveSupervisor: async () => {
    second.close();
    process.kill(process.ppid, 'SIGKILL');
    const refused = await channel.request('list 0').catch((error: Error) => error.message);
    keep('late', 1);
    store.drop('early');
    const found = [await store.names(), await store.fetch('early')];
    return { refused, available: store.available, found, problems };
  },
  stuff,
};

console.log('agent is ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [id, name, ...args] = JSON.parse(line) as [number, string, ...never[]];
  try {
    const result = await commands[name]?.(...args);
    console.log(`${id} ${JSON.stringify({ result })}`);
  } catch (error) {
    console.log(`${id} ${JSON.stringify({ error: String(error) })}`);
  }
}
