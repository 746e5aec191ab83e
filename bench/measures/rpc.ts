import { fileURLToPath } from 'node:url';
import { RAW } from '../../test/support/raw-client.ts';
import { atMost, type Figure, median, quantile } from '../figures.ts';
import { LeanClient, leanFrame } from '../lean-client.ts';
import { type MeasureContext, startSubject } from '../subject.ts';

const ECHO = fileURLToPath(new URL('../peers/echo-server.ts', import.meta.url));

/** Start is the protocol's request that does nothing, for an unknown container too. */
const EMPTY = leanFrame(
  RAW.start,
  '{"ContainerId":"none","ActivityId":"00000000-0000-0000-0000-000000000000"}\n',
);
const WINDOW = 64;
/** Blocks of both sides take turns, so that what else the machine does meets both. */
const BLOCKS = 10;

/** One end of a connection and what was measured on it. */
class Side {
  readonly latency: number[] = [];
  readonly rate: number[] = [];
  readonly #client: LeanClient;

  constructor(client: LeanClient) {
    this.#client = client;
  }

  async warmUp({ calls, burst }: Amount): Promise<void> {
    await this.#client.sequential(EMPTY, calls);
    await this.#client.windowed(EMPTY, burst, WINDOW);
  }

  async askOneByOne({ calls }: Amount): Promise<void> {
    this.latency.push(...(await this.#client.sequential(EMPTY, calls)));
  }

  async askTogether({ burst }: Amount): Promise<void> {
    this.rate.push(await this.#client.windowed(EMPTY, burst, WINDOW));
  }
}

/** Requests of one block. */
export interface Amount {
  calls: number;
  burst: number;
}

/** The empty request: one after the other, and 64 at a time, against a server that only echoes. */
export async function measureRpc({ subject, quick, progress }: MeasureContext): Promise<Figure[]> {
  await using raw = await startSubject(subject);
  await using echo = await startSubject({
    name: 'echo',
    command: [process.execPath, ECHO, '{PATH}'],
  });
  const [agent, floor] = [raw, echo].map(
    ({ bridge }) => new LeanClient(bridge.socket, bridge.socket, bridge.nextId()),
  );
  if (!agent || !floor) throw new Error('both sides are measured');
  const amount = quick ? { calls: 300, burst: 3000 } : { calls: 1000, burst: 10_000 };
  const [p50, ...others] = await compareRpc(agent, floor, {
    name: 'echo in Node',
    amount,
    progress,
  });
  if (!p50) throw new Error('no figures');
  const limit = (p50.references?.[0]?.value ?? 0) + 50;
  return [{ ...p50, target: atMost(p50.value, limit, '≤ echo + 50 µs') }, ...others];
}

/** The empty request on both connections in turns: p50, p99 and the rate with 64 in flight. */
export async function compareRpc(
  agent: LeanClient,
  floor: LeanClient,
  { name, amount, progress }: { name: string; amount: Amount; progress(text: string): void },
): Promise<Figure[]> {
  const [ours, theirs] = [new Side(agent), new Side(floor)];
  for (const side of [ours, theirs]) await side.warmUp(amount);
  for (let block = 0; block < BLOCKS; block += 1) {
    progress(`RPC block ${block + 1} of ${BLOCKS}`);
    for (const side of [ours, theirs]) await side.askOneByOne(amount);
    for (const side of [ours, theirs]) await side.askTogether(amount);
  }
  return figures(ours, theirs, name);
}

function figures(agent: Side, floor: Side, name: string): Figure[] {
  const latency = (q: number): Pick<Figure, 'value' | 'unit' | 'better' | 'references'> => ({
    value: quantile(agent.latency, q),
    unit: 'µs',
    better: 'lower',
    references: [{ name, value: quantile(floor.latency, q) }],
  });
  return [
    { name: 'rpc.p50', label: 'empty RPC, p50', ...latency(0.5) },
    { name: 'rpc.p99', label: 'empty RPC, p99', ...latency(0.99) },
    {
      name: 'rpc.rate64',
      label: `empty RPC, ${WINDOW} in flight`,
      value: median(agent.rate),
      unit: '1/s',
      better: 'higher',
      references: [{ name, value: median(floor.rate) }],
    },
  ];
}
