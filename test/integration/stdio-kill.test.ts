import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { execaSync } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { initProgram } from '../support/init-lab.ts';
import { Pattern } from '../support/pattern.ts';
import { descendants } from '../support/proc.ts';

/** Kills of one run; more of them are asked for by hand. */
const KILLS = Number(process.env.GCS_TEST_KILLS ?? 25);
const TIMEOUT_MS = 60_000 + KILLS * 3_000;
const SURVIVOR = join(import.meta.dirname, '../support/stdio-survivor.ts');

// $1: directory of the test. Both write the pattern over and over until the file "stop" is there;
// what they are sent goes back to the host, by stdout or by a fifo.
const PIPED = `
while [ ! -e "$1/stop" ]; do cat "$1/pattern" >&2; done &
cat; wait; exit 7`;
const ON_TERMINAL = `
stty raw -echo; exec 3<&0; echo ready
cat <&3 >"$1/fifo" & reader=$!
while [ ! -e "$1/stop" ]; do cat "$1/pattern"; done
exec 2>/dev/null; kill $reader; wait $reader; exit 8`;

let directory: string;
let supervisor: ChildProcess | undefined;
const servers: Server[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-kill-'));
});
afterEach(async () => {
  if (supervisor?.pid !== undefined) {
    const left = descendants(supervisor.pid);
    supervisor.kill('SIGKILL');
    for (const { pid } of left) process.kill(pid, 'SIGKILL');
  }
  for (const server of servers.splice(0)) server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** The next connection to a port of the host. */
async function listen(port: number): Promise<{ connection: Promise<Socket> }> {
  const server = createServer({ allowHalfOpen: true });
  servers.push(server);
  server.listen(join(directory, `host_${port}`));
  await once(server, 'listening');
  return { connection: once(server, 'connection').then(([socket]) => socket as Socket) };
}

/** What one stream brought, checked as it comes. */
class Received {
  count = 0;
  #wake = (): void => {};
  readonly end: Promise<void>;

  constructor(from: AsyncIterable<Buffer>, pattern: Pattern) {
    this.end = this.#read(from, pattern);
    // Told where it is awaited.
    this.end.catch(() => {});
  }

  /** Resolves when so much has come. */
  async until(count: number): Promise<void> {
    while (this.count < count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await Promise.race([promise, this.end]);
    }
  }

  async #read(from: AsyncIterable<Buffer>, pattern: Pattern): Promise<void> {
    for await (const chunk of from) {
      pattern.check(chunk, this.count);
      this.count += chunk.length;
      this.#wake();
    }
  }
}

/** Sends the pattern in pieces of all sizes until told to stop. */
class Sender {
  sent = 0;
  #stopped = false;
  readonly #over: Promise<void>;

  constructor(to: Socket, pattern: Pattern) {
    this.#over = this.#send(to, pattern);
    this.#over.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#over;
  }

  async #send(to: Socket, pattern: Pattern): Promise<void> {
    while (!this.#stopped) {
      const most = Math.random() < 0.5 ? 100 : 200_000;
      const chunk = pattern.slice(this.sent, 1 + Math.floor(Math.random() * most));
      this.sent += chunk.length;
      if (!to.write(chunk)) await once(to, 'drain');
      // The processes share two processors with what is tested.
      await pause(1);
    }
  }
}

/** Takes the first line off a stream. */
async function* afterLine(socket: Socket, line: Promise<string>[]): AsyncGenerator<Buffer> {
  const told = Promise.withResolvers<string>();
  line.push(told.promise);
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const newline = head.indexOf('\n');
    if (newline < 0) continue;
    told.resolve(head.toString('utf8', 0, newline));
    if (newline + 1 < head.length) yield head.subarray(newline + 1);
    head = undefined;
  }
}

/** Entries of a log of the CRI, with what stands in them more than once skipped: the content, and how often that was. */
function checkLog(
  text: Buffer,
  stream: string,
  pattern: Pattern,
): { length: number; again: number } {
  let length = 0;
  let again = 0;
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const head = text.toString('latin1', at, at + 40);
    const tag = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([PF]) $/.exec(head);
    if (tag === null || newline < 0) throw new Error(`not an entry: ${head}`);
    const content = text.subarray(at + 40, tag[2] === 'F' ? newline + 1 : newline);
    at = newline + 1;
    if (tag[1] !== stream) continue;
    if (!matches(pattern, content, length)) {
      length = goBack(pattern, content, length);
      again++;
    }
    length += content.length;
  }
  return { length, again };
}

function matches(pattern: Pattern, content: Buffer, offset: number): boolean {
  try {
    pattern.check(content, offset);
    return true;
  } catch {
    return false;
  }
}

/** Where `content` stands in the 64 KiB before `offset`. */
function goBack(pattern: Pattern, content: Buffer, offset: number): number {
  for (let back = 1; back <= 65_536 && back <= offset; back++)
    if (matches(pattern, content, offset - back)) return offset - back;
  throw new Error(`bytes are missing from the log at ${offset}`);
}

/** The agent of now, by what the supervisor says, and all that every one of them has said. */
class Agent {
  readonly said: string[] = [];
  pid = 0;
  onStart: (() => void) | undefined;
  onRelaying: (() => void) | undefined;

  constructor(supervisor: ChildProcess) {
    const { stdout, stderr } = supervisor;
    if (stdout === null || stderr === null) throw new Error('no output');
    createInterface({ input: stdout }).on('line', (line) => {
      this.said.push(line);
      if (line === 'relaying') this.onRelaying?.();
    });
    createInterface({ input: stderr }).on('line', (line) => {
      const pid = Number(/started, pid (\d+)/.exec(line)?.[1]);
      if (Number.isNaN(pid)) {
        this.said.push(line);
        return;
      }
      this.pid = pid;
      this.onStart?.();
    });
  }
}

/** Kills the agent, and each that is started again, at a random moment of its life. */
class Killer {
  readonly done: Promise<void>;
  #kills = 0;

  constructor(agent: Agent) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    const kill = (): void => {
      this.#kills++;
      process.kill(agent.pid, 'SIGKILL');
    };
    agent.onStart = () => {
      if (this.#kills >= KILLS) resolve();
      // While it takes up the streams. Few of those: the supervisor waits longer after each.
      else if (Math.random() < 0.1) setTimeout(kill, Math.random() * 300);
    };
    agent.onRelaying = () => {
      if (this.#kills < KILLS) setTimeout(kill, Math.random() * 60);
    };
    kill();
  }
}

test(`killed ${KILLS} times at any moment: every byte of pipes, terminal and stdin arrives, once and in order`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const pattern = new Pattern();
  writeFileSync(join(directory, 'pattern'), pattern.slice(0, Number.MAX_SAFE_INTEGER));
  execaSync('mkfifo', [join(directory, 'fifo')]);
  const ports = await Promise.all([1, 2, 3, 11, 12].map(listen));
  supervisor = spawn(
    initProgram(),
    [
      ...['--supervise', '--run', directory, '--', process.execPath, SURVIVOR],
      directory,
      PIPED,
      ON_TERMINAL,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const agent = new Agent(supervisor);
  const ended = once(supervisor, 'exit');
  const [stdin, stdout, stderr, typed, shown] = await Promise.all(
    ports.map(({ connection }) => connection),
  );
  if (!stdin || !stdout || !stderr || !typed || !shown) throw new Error('a port is missing');

  const firstLine: Promise<string>[] = [];
  const received = {
    echo: new Received(stdout, pattern),
    stderr: new Received(stderr, pattern),
    terminal: new Received(afterLine(shown, firstLine), pattern),
    typed: new Received(createReadStream(join(directory, 'fifo')), pattern),
  };
  const toPipe = new Sender(stdin, pattern);
  expect(await firstLine[0]).toBe('ready');
  const toTerminal = new Sender(typed, pattern);

  const killer = new Killer(agent);
  await Promise.race([killer.done, ended]);

  await toPipe.stop();
  await toTerminal.stop();
  await received.typed.until(toTerminal.sent);
  writeFileSync(join(directory, 'stop'), '');
  stdin.end();
  for (const each of Object.values(received)) await each.end;
  for (const socket of [stdin, stdout, stderr, typed, shown]) socket.destroy();
  expect(await ended).toEqual([0, null]);
  const size = pattern.slice(0, Number.MAX_SAFE_INTEGER).length;
  expect(received.echo.count).toBe(toPipe.sent);
  expect(received.typed.count).toBe(toTerminal.sent);
  expect(received.stderr.count % size).toBe(0);
  expect(received.terminal.count % size).toBe(0);
  expect(agent.said.filter((line) => line.startsWith('problem'))).toEqual([]);
  expect(agent.said).toContain('kept []');
  const over = JSON.parse(agent.said.find((line) => line.startsWith('over '))?.slice(5) ?? 'null');
  expect(over).toMatchObject([{ code: 7 }, { code: 8 }]);

  const log = readFileSync(join(directory, 'piped.log'));
  const logged = checkLog(log, 'stdout', pattern);
  expect(logged.length).toBe(received.echo.count);
  expect(logged.again).toBeLessThanOrEqual(KILLS);
});
