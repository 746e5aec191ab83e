import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import type { Fd } from '../../os/fd.ts';
import { socketPair, toDuplex } from '../../os/socket.ts';
import { FdConnection } from '../../vsock/connection.ts';
import { AttachHub } from './attach-hub.ts';
import { operationLimits } from './limits.ts';

function connection(): { connection: FdConnection; client: Duplex } {
  const [agent, client] = socketPair();
  return { connection: new FdConnection(agent, 0, 'test'), client: toDuplex(client) };
}

/** The process's side of a hub. */
function processOf(hub: AttachHub) {
  const { stdin, stdout, stderr } = hub.connections.take();
  const wrap = (fd: Fd | null) => (fd === null ? undefined : toDuplex(fd));
  return { stdin: wrap(stdin), stdout: wrap(stdout), stderr: wrap(stderr) };
}

test('a client too slow is disconnected, the others and the process go on', async () => {
  const hub = new AttachHub({ stdout: true });
  const { stdout } = processOf(hub);
  const slow = connection();
  const quick = connection();
  hub.attach({ stdout: slow.connection });
  hub.attach({ stdout: quick.connection });
  let seen = 0;
  quick.client.on('data', (chunk: Buffer) => (seen += chunk.length));
  const total = operationLimits.attachBufferBytes + 4 * 1024 * 1024;
  for (let sent = 0; sent < total; sent += 65_536) {
    if (stdout?.write(Buffer.alloc(65_536)) === false) await once(stdout, 'drain');
  }
  stdout?.end();
  await once(quick.client, 'end');
  expect(seen).toBe(total);
  let left = 0;
  slow.client.on('data', (chunk: Buffer) => (left += chunk.length));
  await once(slow.client, 'end');
  expect(left).toBeLessThan(total);
  for (const stream of [quick.client, slow.client, stdout]) stream?.destroy();
});

test('clients beyond the bound are refused, and their connections closed', async () => {
  const hub = new AttachHub({ stdout: true });
  const { stdout } = processOf(hub);
  const clients = Array.from({ length: operationLimits.attachedClients }, connection);
  for (const { connection: one } of clients) hub.attach({ stdout: one });
  const late = connection();
  expect(() => hub.attach({ stdout: late.connection })).toThrow(/more than 64/);
  late.client.resume();
  await once(late.client, 'end');
  for (const { client } of [...clients, late]) client.destroy();
  stdout?.destroy();
});

test('who attaches to a stream that has ended, or that is not there, gets its end', async () => {
  const hub = new AttachHub({ stdin: true, stdout: true });
  const process = processOf(hub);
  process.stdout?.end();
  process.stdin?.destroy();
  await once(process.stdout as Duplex, 'close');
  const given = [connection(), connection(), connection()] as const;
  const [stdin, stdout, stderr] = given;
  hub.attach({
    stdin: stdin.connection,
    stdout: stdout.connection,
    stderr: stderr.connection,
  });
  for (const { client } of given) {
    client.resume();
    await once(client, 'end');
    client.destroy();
  }
});
