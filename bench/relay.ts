/**
 * Throughput of the relays: a process writes, a reader in another process reads, and what moves the
 * bytes between them is compared: nothing (the process has the reader's pipe), the agent's native
 * relay, and the same done with Node's streams.
 *
 *   node bench/relay.ts [--json] [--rounds N]
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Fd } from '../src/os/fd.ts';
import { pipe, setNonBlock } from '../src/os/pipe.ts';
import { openPty } from '../src/os/pty.ts';
import { Reaper } from '../src/os/reaper.ts';
import { socketPair, toDuplex } from '../src/os/socket.ts';
import { ConnectionSet } from '../src/stdio/connection-set.ts';
import { PipeRelay } from '../src/stdio/pipe-relay.ts';
import { ProcessPipes } from '../src/stdio/process-pipes.ts';
import { TtyRelay } from '../src/stdio/tty-relay.ts';
import { FdConnection } from '../src/vsock/connection.ts';
import { type Transport, TransportError } from '../src/vsock/transport.ts';

type Mover = 'direct' | 'native' | 'streams';
interface Rate {
  mibs: number;
  /** CPU time of this process for each GiB, in milliseconds. */
  cpu: number;
}
interface Load {
  name: string;
  terminal: boolean;
  block: number;
  count: number;
}

const loads: readonly Load[] = [
  { name: 'pipe, 64 KiB writes', terminal: false, block: 65_536, count: 32_768 },
  { name: 'pipe, 4 KiB writes', terminal: false, block: 4096, count: 131_072 },
  { name: 'pipe, 100 byte writes', terminal: false, block: 100, count: 500_000 },
  { name: 'tty, 64 KiB writes', terminal: true, block: 65_536, count: 2048 },
  { name: 'tty, 100 byte writes', terminal: true, block: 100, count: 200_000 },
];

const env = [`PATH=${process.env.PATH}`];
const reaper = Reaper.start();

const directory = mkdtempSync(join(tmpdir(), 'gcs-bench-'));
const program = join(directory, 'stream');
execFileSync('gcc', ['-O2', '-static', '-o', program, join(import.meta.dirname, 'stream.c')]);

function producer({ block, count }: Load): string[] {
  return [program, 'write', String(block), String(count)];
}

/** Reads what comes on `fd` (closed here) and resolves with how many bytes it was. */
async function reader(fd: Fd): Promise<number> {
  setNonBlock(fd, false);
  const child = spawn(program, ['read'], { stdio: [fd.raw, 'pipe', 'inherit'] });
  fd.close();
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += chunk;
  });
  await once(child, 'close');
  return Number(text);
}

/** A host that hands out one connection. */
function hostWith(near: Fd): Transport {
  const refuse = () =>
    Promise.reject(new TransportError('unsupported', 'no', { transport: 'bench' }));
  return {
    name: 'bench',
    dial: async (port) => new FdConnection(near, port, 'bench'),
    listen: refuse,
    [Symbol.asyncDispose]: async () => {},
  };
}

async function throughPipe(load: Load, mover: Mover): Promise<number> {
  if (mover === 'direct') {
    const { read, write } = pipe();
    const bytes = reader(read);
    reaper.spawn({ file: program, args: producer(load), env, stdio: [null, write.raw, null] });
    write.close();
    return bytes;
  }
  const [near, far] = socketPair();
  const bytes = reader(far);
  using pipes = new ProcessPipes({ stdout: true }, 'dev-null');
  const child = reaper.spawn({ file: program, args: producer(load), env, stdio: pipes.stdio });
  pipes.closeProcessEnds();
  const ends = pipes.takeAgentEnds();
  if (mover === 'native') {
    const connections = await ConnectionSet.dial(hostWith(near), { stdout: 1 });
    const session = new PipeRelay({ connections, pipes: ends });
    await child.exited;
    session.processExited();
    await session.closed;
  } else if (ends.stdout !== null) {
    new Socket({ fd: ends.stdout.take(), writable: false }).pipe(toDuplex(near));
  }
  return bytes;
}

async function throughTerminal(load: Load, mover: Mover): Promise<number> {
  const [near, far] = socketPair();
  const bytes = reader(far);
  const { master, path } = openPty();
  const child = reaper.spawn({
    file: program,
    args: producer(load),
    env,
    stdio: [],
    terminal: path,
  });
  if (mover === 'native') {
    const connections = await ConnectionSet.dial(hostWith(near), { stdout: 1 });
    const session = new TtyRelay({ connections, master });
    await child.exited;
    session.processExited();
    await session.closed;
  } else {
    const destination = toDuplex(near);
    const source = toDuplex(master);
    // EIO is how a terminal ends.
    source.on('error', () => destination.end()).pipe(destination);
  }
  return bytes;
}

async function measure(load: Load, mover: Mover): Promise<Rate> {
  const started = performance.now();
  const cpu = process.cpuUsage();
  const bytes = await (load.terminal ? throughTerminal(load, mover) : throughPipe(load, mover));
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if (bytes !== load.block * load.count)
    throw new Error(`${load.name}, ${mover}: ${bytes} of ${load.block * load.count} bytes`);
  const gibs = bytes / 2 ** 30;
  return { mibs: (gibs * 1024) / seconds, cpu: (user + system) / 1000 / gibs };
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, rounds: { type: 'string', default: '3' } },
});
const rows = [];
for (const load of loads) {
  const rates: Record<Mover, Rate[]> = { direct: [], native: [], streams: [] };
  // Interleaved, so that a machine that is busy for a while is busy for all of them.
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const mover of ['direct', 'native', 'streams'] as const) {
      if (mover === 'direct' && load.terminal) continue;
      rates[mover].push(await measure(load, mover));
    }
  }
  const rate = (mover: Mover) => Math.round(median(rates[mover].map(({ mibs }) => mibs)));
  const cpu = (mover: Mover) => Math.round(median(rates[mover].map((each) => each.cpu)));
  rows.push({
    load: load.name,
    'direct MiB/s': load.terminal ? null : rate('direct'),
    'native MiB/s': rate('native'),
    'streams MiB/s': rate('streams'),
    'native : streams': Number((rate('native') / rate('streams')).toFixed(2)),
    'native CPU ms/GiB': cpu('native'),
    'streams CPU ms/GiB': cpu('streams'),
  });
}
reaper[Symbol.dispose]();
rmSync(directory, { recursive: true });
if (values.json) console.log(JSON.stringify(rows, null, 2));
else console.table(rows);
