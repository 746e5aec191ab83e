/** Makes the code caches of the bundles by running each once, up to the point where it is ready. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const WORKER = fileURLToPath(new URL('code-cache-worker.cjs', import.meta.url));

function startWorker(out: string, program: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [WORKER, out, program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // A program that neither gets ready nor ends must not hang the build.
    timeout: 30_000,
  });
}

async function ended(child: ChildProcess, program: string): Promise<void> {
  const errors = child.stderr ? text(child.stderr) : Promise.resolve('');
  const [code, signal] = await once(child, 'exit');
  if (code !== 0) {
    throw new Error(
      `${program} ended with ${signal ?? code} while its code cache was made:\n${await errors}`,
    );
  }
}

/** Type and payload of what a host asks first; the answers do not matter here. */
const FIRST_REQUESTS: readonly (readonly [number, object])[] = [
  [0x10100b01, { ContainerId: '', MinimumVersion: 4, MaximumVersion: 4 }],
  [0x10100901, { ContainerId: 'none', Query: '{"PropertyTypes":["ProcessList"]}' }],
];

function frame(type: number, id: number, body: object): Buffer {
  const payload = Buffer.from(JSON.stringify(body));
  const header = Buffer.alloc(16);
  header.writeUInt32LE(type, 0);
  header.writeUInt32LE(16 + payload.length, 4);
  header.writeBigUInt64LE(BigInt(id), 8);
  return Buffer.concat([header, payload]);
}

/** Plays the host until every request is answered. */
async function talk(socket: net.Socket): Promise<void> {
  for (const [id, [type, body]] of FIRST_REQUESTS.entries()) {
    socket.write(frame(type, id, body));
    let answer = Buffer.alloc(0);
    while (answer.length < 16 || answer.length < answer.readUInt32LE(4)) {
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      answer = Buffer.concat([answer, chunk]);
    }
  }
}

async function warmAgent(out: string, program: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'gcs-build-'));
  const path = join(directory, 'v');
  const server = net.createServer().listen(`${path}_${0x40000000}`);
  try {
    await once(server, 'listening');
    const child = startWorker(out, program, ['-v4', '-transport', `hybrid:${path}`]);
    const exit = ended(child, program);
    const arrival = once(server, 'connection') as Promise<[net.Socket]>;
    const first = await Promise.race([arrival, exit]);
    if (!first) throw new Error(`${program} ended before it dialed its host`);
    await Promise.race([talk(first[0]), exit]);
    child.send('ready');
    await exit;
    first[0].destroy();
  } finally {
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Writes build/PROGRAM.cache. */
export async function makeCodeCache(
  out: string,
  program: 'gcs' | 'gcsctl' | 'gcs-oci',
): Promise<void> {
  if (program === 'gcs') return await warmAgent(out, program);
  await ended(startWorker(out, program, ['--help']), program);
}
