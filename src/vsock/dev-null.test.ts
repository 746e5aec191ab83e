import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { untilReady } from '../os/poll.ts';
import { shutdown } from '../os/socket.ts';
import { DevNullTransport } from './dev-null.ts';

it('swallows what a stream writes and ends what it reads', async () => {
  await using transport = new DevNullTransport();
  const stream = (await transport.dial(1)).stream();
  const closed = once(stream, 'close');
  const chunk = Buffer.alloc(1_048_576);
  for (let written = 0; written < 64; written += 1)
    if (!stream.write(chunk)) await once(stream, 'drain');
  stream.end();
  expect(await text(stream)).toBe('');
  await closed;
});

it('swallows what a process writes to the raw descriptor', async () => {
  await using transport = new DevNullTransport();
  using fd = (await transport.dial(1)).takeFd();
  const child = spawn('sh', ['-c', 'head -c 100000000 /dev/zero && cat'], {
    stdio: [fd.raw, fd.raw, 'inherit'],
  });
  fd.close();
  // cat ends by itself: its input is at its end.
  expect(await once(child, 'exit')).toEqual([0, null]);
});

it('behaves as a host that closes once the guest has ended its side', async () => {
  await using transport = new DevNullTransport();
  using fd = (await transport.dial(1)).takeFd();
  await untilReady(fd.raw, { read: true });
  expect(readSync(fd.raw, Buffer.alloc(1), 0, 1, null)).toBe(0);
  shutdown(fd, 'write');
  // Both directions over: poll(2) reports it without being asked for anything.
  expect(await untilReady(fd.raw, { write: true })).toMatchObject({ hangup: true });
});

it('leaves nothing open behind 1000 connections', async () => {
  await using transport = new DevNullTransport();
  const before = readdirSync('/proc/self/fd').length;
  const connections = [];
  for (let made = 0; made < 1_000; made += 1) connections.push(await transport.dial(made));
  const streams = connections.map((connection) => connection.stream());
  const closed = streams.map((stream) => once(stream, 'close'));
  for (const stream of streams) stream.end('x').resume();
  await Promise.all(closed);
  await transport[Symbol.asyncDispose]();
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

it('ends its connections when it is disposed', async () => {
  const transport = new DevNullTransport();
  using fd = (await transport.dial(1)).takeFd();
  await transport[Symbol.asyncDispose]();
  expect(await untilReady(fd.raw, { write: true })).toMatchObject({ hangup: true });
});

it('lets a port be listened on once', async () => {
  await using transport = new DevNullTransport();
  const listener = await transport.listen(3);
  await expect(transport.listen(3)).rejects.toMatchObject({ code: 'port-in-use' });
  listener.close();
  await using _again = await transport.listen(3);
});
