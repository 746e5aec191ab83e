/**
 * A DHCP server that does as a test tells it, in a network namespace of its own process. Run by
 * Node itself it is the server; imported it starts one.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What is answered to a message; `silent`: nothing. */
export type Answer = 'offer' | 'ack' | 'nak' | 'silent';

export interface ServerPlan {
  /** One for each message of the kind that comes; the last goes on for ever. Default: silent. */
  readonly discover?: readonly Answer[];
  readonly request?: readonly Answer[];
  /** Requests of a client that has its address. */
  readonly renewal?: readonly Answer[];
  readonly address: string;
  readonly server: string;
  readonly leaseSeconds: number;
  readonly t1: number;
  readonly t2: number;
}

export interface Seen {
  /** Option 53: 1 discover, 3 request, 7 release. */
  readonly type: number;
  /** The address it says it has. */
  readonly client: string;
  /** Options 50 and 54. */
  readonly requested: string | undefined;
  readonly server: string | undefined;
  readonly answer: Answer;
}

function quad(text: string): number[] {
  return text.split('.').map(Number);
}

function u32(value: number): number[] {
  return [...new Uint8Array(new Uint32Array([value]).buffer)].reverse();
}

function optionOf(message: Buffer, wanted: number): Buffer | undefined {
  for (let at = 240; at < message.length && message[at] !== 255; ) {
    if (message[at] === 0) {
      at++;
      continue;
    }
    const end = at + 2 + (message[at + 1] ?? 0);
    if (message[at] === wanted) return message.subarray(at + 2, end);
    at = end;
  }
  return undefined;
}

function answerTo(message: Buffer, plan: ServerPlan, answer: Exclude<Answer, 'silent'>): Buffer {
  const reply = Buffer.alloc(240);
  message.copy(reply, 0, 0, 44);
  reply[0] = 2;
  reply.set(quad(plan.address), 16);
  reply.writeUInt32BE(0x63825363, 236);
  const options: [number, number[]][] = [
    [53, [{ offer: 2, ack: 5, nak: 6 }[answer]]],
    [54, quad(plan.server)],
  ];
  if (answer !== 'nak') {
    options.push([51, u32(plan.leaseSeconds)], [1, quad('255.255.255.0')]);
    options.push([58, u32(plan.t1)], [59, u32(plan.t2)]);
  }
  const bytes = options.flatMap(([code, value]) => [code, value.length, ...value]);
  return Buffer.concat([reply, Uint8Array.from([...bytes, 255])]);
}

function serve(plan: ServerPlan): void {
  const socket = createSocket('udp4');
  const counts = { discover: 0, request: 0, renewal: 0 };
  socket.on('message', (message) => {
    const type = optionOf(message, 53)?.[0] ?? 0;
    const client = message.subarray(12, 16).join('.');
    const kind = type === 1 ? 'discover' : client === '0.0.0.0' ? 'request' : 'renewal';
    const answers = plan[kind] ?? [];
    const answer = answers[Math.min(counts[kind]++, answers.length - 1)] ?? 'silent';
    const text = (value: Buffer | undefined) => value?.join('.');
    const seen: Seen = {
      type,
      client,
      requested: text(optionOf(message, 50)),
      server: text(optionOf(message, 54)),
      answer,
    };
    process.stdout.write(`${JSON.stringify(seen)}\n`);
    if (answer !== 'silent') socket.send(answerTo(message, plan, answer), 68, '255.255.255.255');
  });
  socket.bind(67, () => {
    socket.setBroadcast(true);
    process.stdout.write('ready\n');
  });
}

export class DhcpServer implements Disposable {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  /** In the network namespace of a process. */
  static async start(pid: number, plan: ServerPlan): Promise<DhcpServer> {
    const server = new DhcpServer(pid, plan);
    await server.#lines.next();
    return server;
  }

  private constructor(pid: number, plan: ServerPlan) {
    const file = fileURLToPath(import.meta.url);
    const command = ['nsenter', '-t', `${pid}`, '-n', process.execPath, file, JSON.stringify(plan)];
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The next message it got. */
  async next(): Promise<Seen> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the DHCP server has ended');
    return JSON.parse(value) as Seen;
  }

  /** All messages up to the first that was answered so. */
  async until(answer: Answer): Promise<Seen[]> {
    const seen = [await this.next()];
    while (seen.at(-1)?.answer !== answer) seen.push(await this.next());
    return seen;
  }

  /** The next one of a client that has this address. */
  async nextFrom(client: string): Promise<Seen> {
    for (;;) {
      const seen = await this.next();
      if (seen.client === client) return seen;
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

if (import.meta.main) serve(JSON.parse(process.argv[2] ?? '') as ServerPlan);
