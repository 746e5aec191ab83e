import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openFile } from '../../src/os/pipe.ts';
import { openPty } from '../../src/os/pty.ts';
import { socketPair, toDuplex } from '../../src/os/socket.ts';
import { StdioTransport } from '../../src/vsock/stdio.ts';

const ECHO = join(import.meta.dirname, '../support/stdio-echo.ts');
const STRAY = 'a stray print\na stray child\n';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync('/tmp/gcs-stdio-');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Runs a shell line in which $0 is node and $1 the echo script; resolves with what came out. */
async function run(line: string): Promise<{ out: string; err: string; code: number | null }> {
  const shell = spawn('sh', ['-c', line, process.execPath, ECHO, directory], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return result(shell, shell.stdout);
}

async function result(child: ChildProcess, from: NodeJS.ReadableStream) {
  if (child.stderr === null) throw new Error('no stderr');
  const [out, err, [code]] = await Promise.all([
    text(from),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { out, err, code };
}

it('carries the bridge over pipes, and stray output goes to standard error', async () => {
  expect(await run('printf hello | "$0" "$1" | cat')).toEqual({
    out: 'hellobye',
    err: STRAY,
    code: 0,
  });
});

it('carries the bridge over files', async () => {
  writeFileSync(join(directory, 'in'), 'from a file ');
  const { err, code } = await run('"$0" "$1" < "$2/in" > "$2/out"');
  expect({ err, code }).toEqual({ err: STRAY, code: 0 });
  expect(readFileSync(join(directory, 'out'), 'utf8')).toBe('from a file bye');
});

it('carries the bridge over /dev/null', async () => {
  expect(await run('"$0" "$1" < /dev/null > /dev/null')).toEqual({ out: '', err: STRAY, code: 0 });
});

it('carries the bridge over a terminal in raw mode, byte for byte, until it hangs up', async () => {
  const { master, path } = openPty();
  using slave = openFile(path, constants.O_RDWR | constants.O_NOCTTY);
  expect(
    spawnSync('stty', ['raw', '-echo'], { stdio: [slave.raw, 'inherit', 'inherit'] }).status,
  ).toBe(0);
  const echo = spawn(process.execPath, [ECHO], { stdio: [slave.raw, slave.raw, 'pipe'] });
  slave.close();
  const terminal = toDuplex(master);
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  terminal.write(bytes);
  let got = Buffer.alloc(0);
  for await (const chunk of terminal.iterator({ destroyOnReturn: false })) {
    got = Buffer.concat([got, chunk as Buffer]);
    if (got.length >= bytes.length) break;
  }
  expect(got.equals(bytes)).toBe(true);
  const ended = result(echo, Readable.from([]));
  terminal.destroy();
  // Its last word finds nobody.
  expect((await ended).err).toContain('write EIO');
});

it('carries the bridge over one socket', async () => {
  const [parent, child] = socketPair();
  using _child = child;
  const echo = spawn(process.execPath, [ECHO], { stdio: [child.raw, child.raw, 'pipe'] });
  child.close();
  const stream = toDuplex(parent);
  stream.end('over a socket ');
  expect(await result(echo, stream)).toEqual({ out: 'over a socket bye', err: STRAY, code: 0 });
  stream.destroy();
});

it('sees the end when the parent is gone', async () => {
  const echo = spawn(process.execPath, [ECHO], { stdio: ['pipe', 'pipe', 'pipe'] });
  const done = result(echo, echo.stdout);
  echo.stdin.end();
  expect((await done).code).toBe(0);
});

it('serves other ports through another transport, or says that it cannot', async () => {
  const alone = new StdioTransport();
  await expect(alone.dial(1)).rejects.toMatchObject({ code: 'unsupported', port: 1 });
  await expect(alone.listen(1)).rejects.toMatchObject({ code: 'unsupported', port: 1 });
  const [one, two] = [new StdioTransport(), new StdioTransport({ others: alone })];
  await one[Symbol.asyncDispose]();
  await expect(one.dial(1)).rejects.toMatchObject({ code: 'closed' });
  await expect(two.dial(1)).rejects.toMatchObject({ code: 'unsupported' });
  await two[Symbol.asyncDispose]();
  await expect(alone.dial(1)).rejects.toMatchObject({ code: 'closed' });
});
