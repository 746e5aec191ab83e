import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HybridTransport } from '../../vsock/hybrid.ts';
import { MANAGEMENT_PORT } from '../../vsock/ports.ts';
import { connectManagement } from './index.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-client-'));
  path = join(directory, 'v');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('where nobody serves the door there is no agent', async () => {
  await expect(connectManagement(path)).rejects.toMatchObject({ code: 'no-agent' });
});

test('one that takes the connection and says nothing is given up in time, and let go', async () => {
  await using transport = new HybridTransport(path);
  await using listener = await transport.listen(MANAGEMENT_PORT);
  const connecting = connectManagement(path, { timeoutMs: 50 });
  const accepted = await listener.accept();
  await expect(connecting).rejects.toMatchObject({ code: 'no-agent' });
  const stream = accepted.stream();
  expect(await text(stream)).toContain('"initialize"');
  stream.destroy();
});

test.each([
  ['garbage', 'what?\r\n\r\n', 'protocol'],
  [
    'an answer of another shape',
    'Content-Length: 50\r\n\r\n{"jsonrpc":"2.0","id":0,"result":{"agent":"none"}}',
    'protocol',
  ],
  ['nothing and closes', '', 'lost'],
])('one that answers with %s is no agent', async (_name, answer, code) => {
  await using transport = new HybridTransport(path);
  await using listener = await transport.listen(MANAGEMENT_PORT);
  const connecting = connectManagement(path);
  const refused = expect(connecting).rejects.toMatchObject({ code });
  const stream = (await listener.accept()).stream();
  stream.on('error', () => {});
  stream.end(answer);
  await refused;
  stream.destroy();
});
