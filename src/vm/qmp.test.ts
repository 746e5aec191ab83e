import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { QmpClient } from './qmp.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-qmp-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A client and the QEMU it talks to. */
async function pair(): Promise<{ client: QmpClient; qemu: net.Socket; server: net.Server }> {
  const server = net.createServer();
  server.listen(join(directory, 'qmp'));
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const stream = net.connect(join(directory, 'qmp'));
  const [qemu] = (await accepted) as [net.Socket];
  qemu.on('error', () => {});
  return { client: new QmpClient(stream), qemu, server };
}

/** Answers each command by its name. */
function answer(qemu: net.Socket, reply: (command: string) => object): void {
  let text = '';
  qemu.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const { execute, id } = JSON.parse(line) as { execute: string; id: number };
      qemu.write(`${JSON.stringify({ ...reply(execute), id })}\r\n`);
    }
  });
}

test('commands are answered by their number, refusals tell QEMU’s words, events come between', async () => {
  const { client, qemu, server } = await pair();
  const events: unknown[] = [];
  client.on('event', (name, data) => events.push([name, data]));
  answer(qemu, (command) =>
    command === 'bad'
      ? { error: { class: 'GenericError', desc: 'no such thing' } }
      : { return: { command } },
  );
  qemu.write('{"QMP": {"version": {}}}\r\n');
  await client.negotiate();
  qemu.write('{"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}\r\n');
  expect(await client.execute('query-status')).toEqual({ command: 'query-status' });
  await expect(client.execute('bad')).rejects.toMatchObject({
    code: 'refused',
    message: 'QEMU: no such thing',
  });
  expect(events).toEqual([['SHUTDOWN', { reason: 'guest-shutdown' }]]);
  qemu.end();
  await client.closed;
  server.close();
});

test('a QEMU that goes away with a command unread fails what waits and nothing else', async () => {
  const { client, qemu, server } = await pair();
  qemu.write('{"QMP": {}}\r\n');
  const waiting = client.execute('quit');
  const failed = expect(waiting).rejects.toMatchObject({ code: 'ended' });
  qemu.pause();
  qemu.destroy();
  await failed;
  await client.closed;
  await expect(client.execute('quit')).rejects.toMatchObject({ code: 'ended' });
  server.close();
});
