import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Machine } from '../support/virtio-driver.ts';
import { Guest } from '../support/virtio-guest.ts';

const GCSCTL = join(import.meta.dirname, '../../src/cli/gcsctl.ts');

let directory = '';
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync('/tmp/gcs-vsock-device-');
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

const socket = (): string => join(directory, 'device');
const path = (): string => join(directory, 'vsock');

function start(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [GCSCTL, 'vsock-device', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  return child;
}

/** Resolves with the line of the log that holds `text`. */
async function line(child: ChildProcess, text: string): Promise<string> {
  const { stderr } = child;
  if (stderr === null) throw new Error('no standard error');
  for await (const each of createInterface({ input: stderr })) if (each.includes(text)) return each;
  throw new Error(`the command ended without "${text}"`);
}

async function ended(child: ChildProcess): Promise<[code: number | null, errors: string]> {
  let errors = '';
  child.stderr?.on('data', (bytes) => {
    errors += bytes;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return [code, errors];
}

function device(...more: string[]): ChildProcess {
  return start('--socket', socket(), '--path', path(), '--cid', '42', ...more);
}

it.each([
  'SIGINT',
  'SIGTERM',
] as const)('serves a guest until %s, which removes both sockets', async (signal) => {
  const child = device();
  await line(child, 'vsock device for CID 42');
  using host = {
    server: createServer((connection) => connection.end('from the host')),
    [Symbol.dispose]() {
      this.server.close();
    },
  };
  host.server.listen(`${path()}_900`);
  await once(host.server, 'listening');
  using machine = await Machine.start(socket(), 42);
  const connection = await new Guest(machine).connect(900);
  await connection.until(() => connection.data.toString() === 'from the host');
  const end = once(child, 'exit');
  child.kill(signal);
  expect(await end).toEqual([0, null]);
  expect([existsSync(socket()), existsSync(path())]).toEqual([false, false]);
});

it('with --once ends when its hypervisor has left', async () => {
  const child = device('--once');
  await line(child, 'vsock device for CID 42');
  const end = once(child, 'exit');
  const machine = await Machine.start(socket(), 42);
  machine[Symbol.dispose]();
  expect(await end).toEqual([0, null]);
  expect([existsSync(socket()), existsSync(path())]).toEqual([false, false]);
});

it('says which socket is taken, and leaves the other one alone', async () => {
  await line(device(), 'vsock device for CID 42');
  const [code, errors] = await ended(
    start('--socket', join(directory, 'other'), '--path', path(), '--cid', '43'),
  );
  expect(code).toBe(125);
  expect(errors).toContain('EADDRINUSE');
  expect(errors).toContain(path());
  expect(existsSync(join(directory, 'other'))).toBe(false);
  expect(existsSync(path())).toBe(true);
});

it.each([
  [['--path', '/tmp/x', '--cid', '3'], '--socket is missing'],
  [['--socket', '/tmp/x', '--cid', '3'], '--path is missing'],
  [['--socket', '/tmp/x', '--path', '/tmp/y'], '--cid is missing'],
  [['--socket', '/tmp/x', '--path', '/tmp/y', '--cid', '2'], '--cid is a whole number from 3'],
  [['--socket', '/tmp/x', '--path', `/tmp/${'y'.repeat(100)}`, '--cid', '3'], '--path: a path of'],
])('refuses %j', async (args, message) => {
  const [code, errors] = await ended(start(...args));
  expect(code).toBe(2);
  expect(errors).toContain(message);
});

it('explains itself with --help', async () => {
  const child = start('--help');
  let text = '';
  child.stdout?.on('data', (bytes) => {
    text += bytes;
  });
  expect(await ended(child)).toEqual([0, '']);
  expect(text).toContain('--socket SOCKET --path PATH --cid N');
  expect(text).toContain('vhost-user-vsock-pci');
});
