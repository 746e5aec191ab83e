import { fstatSync, readlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Fd } from './fd.ts';
import { InitChannel, startedBy } from './init-channel.ts';
import { pipe } from './pipe.ts';
import { receiveFds, sendFds } from './rights.ts';
import { packetPair } from './socket.ts';

async function taken(init: Fd): Promise<string> {
  const { data, fds } = await receiveFds(init);
  for (const fd of fds) fd.close();
  return data.toString();
}

const say = (init: Fd, text: string): void => sendFds(init, Buffer.from(text), []);
const fileOf = (fd: Fd): string => readlinkSync(`/proc/self/fd/${fd.raw}`);

test('requests are sent before anything is waited for, and answered in their order', async () => {
  const [ours, inits] = packetPair();
  using channel = new InitChannel(ours);
  using init = inits;
  const replies = Promise.all([channel.request('one'), channel.request('two')]);
  expect([await taken(init), await taken(init)]).toEqual(['one', 'two']);
  say(init, 'ok one');
  say(init, 'ok two');
  expect(await replies).toEqual(['ok one', 'ok two']);
});

test('descriptors go in both directions, and those nobody asked for are closed', async () => {
  const [ours, inits] = packetPair();
  using channel = new InitChannel(ours);
  using init = inits;
  const { read, write } = pipe();
  using theirs = read;
  using kept = write;
  const reply = channel.send('store it', [kept]);
  const { fds } = await receiveFds(init);
  expect(fds.map(fileOf)).toEqual([fileOf(theirs)]);
  sendFds(init, Buffer.from('ok'), fds);
  for (const fd of fds) fd.close();
  const back = await reply;
  expect(back.fds.map(fileOf)).toEqual([fileOf(theirs)]);
  for (const fd of back.fds) fd.close();
  const word = channel.request('anything');
  await taken(init);
  sendFds(init, Buffer.from('ok'), [kept]);
  expect(await word).toBe('ok');
  kept.close();
  // The last write end is closed, so that this is the end of the file.
  expect(fstatSync(theirs.raw).isFIFO()).toBe(true);
  const { bytesRead } = await readEnd(theirs);
  expect(bytesRead).toBe(0);
});

async function readEnd(fd: Fd): Promise<{ bytesRead: number }> {
  const { read } = await import('node:fs');
  return await new Promise((resolve, reject) => {
    read(fd.raw, Buffer.alloc(1), (error, bytesRead) =>
      error === null ? resolve({ bytesRead }) : reject(error),
    );
  });
}

test('what a full socket does not take follows in its order, with descriptors of its own', async () => {
  const [ours, inits] = packetPair();
  using channel = new InitChannel(ours);
  using init = inits;
  const { read, write } = pipe();
  const names = Array.from({ length: 2000 }, (_, i) => `store s${i}`);
  const replies = names.map((name) => channel.send(name, [read]));
  // The caller's may go at once.
  const file = fileOf(read);
  read.close();
  write.close();
  let flushed = false;
  const flush = channel.flush().then(() => {
    flushed = true;
  });
  for (const [index, name] of names.entries()) {
    if (index === 0) expect(flushed).toBe(false);
    const { data, fds } = await receiveFds(init);
    expect(data.toString()).toBe(name);
    expect(fds.map(fileOf)).toEqual([file]);
    for (const fd of fds) fd.close();
    say(init, `ok ${index}`);
  }
  await flush;
  const texts = (await Promise.all(replies)).map(({ text }) => text);
  expect(texts).toEqual(names.map((_, index) => `ok ${index}`));
});

test('a request that is too long is not sent, and the next one is', async () => {
  const [ours, inits] = packetPair();
  using channel = new InitChannel(ours);
  using init = inits;
  await expect(channel.request('x'.repeat(257))).rejects.toMatchObject({ code: 'EMSGSIZE' });
  const reply = channel.request('poweroff');
  expect(await taken(init)).toBe('poweroff');
  say(init, 'ok');
  expect(await reply).toBe('ok');
});

test('an init that closes the channel fails the requests that wait, and those to come', async () => {
  const [ours, inits] = packetPair();
  using channel = new InitChannel(ours);
  const first = channel.request('answered');
  const second = channel.request('not answered');
  await taken(inits);
  say(inits, 'ok');
  inits.close();
  expect(await first).toBe('ok');
  await expect(second).rejects.toMatchObject({ code: 'ECONNRESET' });
  expect(channel.open).toBe(false);
  await expect(channel.request('late')).rejects.toMatchObject({ code: 'ECONNRESET' });
});

test('a channel that is closed here fails what waits', async () => {
  const [ours, inits] = packetPair();
  using init = inits;
  const channel = new InitChannel(ours);
  const reply = channel.request('one');
  channel[Symbol.dispose]();
  await expect(reply).rejects.toMatchObject({ code: 'EPIPE' });
  expect(ours.open).toBe(false);
  expect(await taken(init)).toBe('one');
});

test('init is PID 1, and the supervisor the parent it says it is', () => {
  expect(startedBy({ GCS_INIT_FD: '3' }, 1)).toBe('init');
  expect(startedBy({ GCS_INIT_FD: '3' }, 4711)).toBeUndefined();
  expect(startedBy({}, 1)).toBeUndefined();
  expect(startedBy({ GCS_INIT_FD: '3', GCS_INIT_SUPERVISOR: '4711' }, 4711)).toBe('supervisor');
  expect(startedBy({ GCS_INIT_FD: '3', GCS_INIT_SUPERVISOR: '4711' }, 4712)).toBeUndefined();
  // A supervisor that is PID 1 of a container is not the machine's init.
  expect(startedBy({ GCS_INIT_FD: '3', GCS_INIT_SUPERVISOR: '1' }, 1)).toBe('supervisor');
  expect(startedBy({ GCS_INIT_FD: '3', GCS_INIT_SUPERVISOR: '' }, 1)).toBeUndefined();
  expect(startedBy({ GCS_INIT_SUPERVISOR: '4711' }, 4711)).toBeUndefined();
});

test('a supervisor’s agent does not own the machine, and nobody inherits the channel', () => {
  const [ours, other] = packetPair();
  using inherited = ours;
  using supervisor = other;
  const env = {
    GCS_INIT_FD: `${inherited.take()}`,
    GCS_INIT_SUPERVISOR: `${process.ppid}`,
    GCS_INIT_RUN: '/run/x',
  };
  using channel = InitChannel.fromEnvironment(env);
  expect(channel?.ownsMachine).toBe(false);
  expect(env).toEqual({ GCS_INIT_RUN: '/run/x' });
  expect(supervisor.open).toBe(true);
});

test('elsewhere the variable is nobody’s and no descriptor is touched', () => {
  const [ours, other] = packetPair();
  using one = ours;
  using two = other;
  const env = { GCS_INIT_FD: `${one.raw}` };
  expect(InitChannel.fromEnvironment(env)).toBeUndefined();
  expect(fstatSync(one.raw).isSocket()).toBe(true);
  expect(two.open).toBe(true);
});
