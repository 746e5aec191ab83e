import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EmulatedHost } from '../../src/vsock/emulator/host.ts';
import { HybridTransport } from '../../src/vsock/hybrid.ts';
import { Pattern } from '../support/pattern.ts';

const COMMAND = join(import.meta.dirname, '../../src/cli/vsock.ts');
const RUN = `import { vsockCommand } from ${JSON.stringify(COMMAND)};
process.exitCode = await vsockCommand(process.argv.slice(1));`;

let directory: string;
let path: string;
let guest: HybridTransport;
beforeEach(() => {
  directory = mkdtempSync('/tmp/gcs-command-');
  path = join(directory, 'v');
  guest = new HybridTransport(path);
});
afterEach(async () => {
  await guest[Symbol.asyncDispose]();
  const left = readdirSync(directory);
  rmSync(directory, { recursive: true });
  expect(left).toEqual([]);
});

function start(...args: string[]) {
  return spawn(process.execPath, ['--input-type=module', '-e', RUN, '--', ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const command = start(...args);
  command.stdin.end();
  const [out, err, [code]] = await Promise.all([
    text(command.stdout),
    text(command.stderr),
    once(command, 'exit'),
  ]);
  return { code, out, err };
}

async function exitCode(command: ChildProcess): Promise<number | null> {
  const [code] = await once(command, 'exit');
  return code;
}

describe('gcsctl vsock dial', () => {
  it('joins a guest port to standard input and output, byte for byte', async () => {
    await using listener = await guest.listen(52);
    const command = start('dial', path, '0x34');
    const stream = (await listener.accept()).stream();
    const bytes = Buffer.from(new Pattern().slice(0, 1_000_000));
    const code = exitCode(command);
    stream.pipe(stream);
    command.stdin.end(bytes);
    expect((await buffer(command.stdout)).equals(bytes)).toBe(true);
    expect(await code).toBe(0);
  });

  it('ends with the guest when it does not read standard input', async () => {
    await using listener = await guest.listen(52);
    const command = start('dial', '--no-stdin', path, '52');
    const code = exitCode(command);
    const stream = (await listener.accept()).stream();
    stream.end('all there is');
    expect(await text(command.stdout)).toBe('all there is');
    expect(await code).toBe(0);
    expect(await text(stream)).toBe('');
    command.stdin.end();
  });

  it('fails with 1 and the reason when nobody listens', async () => {
    const { code, out, err } = await run('dial', path, '52');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain('port 52');
  });

  it('gives up after the time it was given', async () => {
    await using silent = new EmulatedHost(path);
    // PATH_1 is a socket that accepts and never answers a CONNECT line.
    await using _listener = await silent.listen(1);
    const { code, err } = await run('dial', '-t', '0.05', `${path}_1`, '52');
    expect(code).toBe(1);
    expect(err).toContain('50 ms');
  });

  it('closes the connection when nobody reads its output any more', async () => {
    await using listener = await guest.listen(52);
    const command = start('dial', path, '52');
    const code = exitCode(command);
    const stream = (await listener.accept()).stream();
    command.stdout.destroy();
    const gone = new Promise<NodeJS.ErrnoException>((resolve) => stream.once('error', resolve));
    const chunk = Buffer.alloc(65_536);
    const push = (error?: Error | null) => {
      if (!error) stream.write(chunk, push);
    };
    push();
    expect(['EPIPE', 'ECONNRESET']).toContain((await gone).code);
    expect(await code).toBe(1);
    command.stdin.end();
  });
});

describe('gcsctl vsock listen', () => {
  it('takes one connection, joins it and listens no more', async () => {
    const command = start('listen', path, '7');
    const code = exitCode(command);
    const [ready] = await once(command.stderr.setEncoding('utf8'), 'data');
    expect(ready).toBe(`gcsctl vsock: listening on ${path}_7\n`);
    const stream = (await guest.dial(7)).stream();
    command.stdin.end('to the guest');
    expect(await text(stream.iterator({ destroyOnReturn: false }))).toBe('to the guest');
    await expect(guest.dial(7)).rejects.toMatchObject({ code: 'refused' });
    stream.end('to the host');
    expect(await text(command.stdout)).toBe('to the host');
    expect(await code).toBe(0);
  });

  it('fails with 1 when somebody listens on the port', async () => {
    await using host = new EmulatedHost(path);
    await using _listener = await host.listen(7);
    const { code, err } = await run('listen', path, '7');
    expect(code).toBe(1);
    expect(err).toContain('EADDRINUSE');
  });

  it('gives up after the time it was given, and leaves no socket', async () => {
    const { code, err } = await run('listen', '--timeout=0.05', path, '7');
    expect(code).toBe(1);
    expect(err).toContain('nobody dialed port 7');
  });
});

describe('gcsctl vsock', () => {
  it('explains itself with --help', async () => {
    const { code, out, err } = await run('--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^Usage: gcsctl vsock listen/);
  });

  it.each([
    [[], 'neither "listen" nor "dial"'],
    [['connect', '/x', '1'], '"connect" is neither'],
    [['dial', '/x'], 'takes PATH and PORT'],
    [['dial', '/x', '1', '2'], 'takes PATH and PORT'],
    [['dial', '/x', '4294967295'], 'is no port number'],
    [['dial', '/x', '1.5'], 'is no port number'],
    [['dial', '-t', 'soon', '/x', '1'], 'is no number of seconds'],
    [['dial', '--nonsense', '/x', '1'], '--nonsense'],
  ])('fails with 2 for %j', async (args, complaint) => {
    const { code, out, err } = await run(...args);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(complaint);
  });
});
