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

/** The empty request: one after the other, and 64 at a time, against a server that only echoes. */
export async function measureRpc({ subject, quick, progress }: MeasureContext): Promise<Figure[]> {
  await using raw = await startSubject(subject);
  await using echo = await startSubject({
    name: 'echo',
    command: [process.execPath, ECHO, '{PATH}'],
  });
  const sides = [raw, echo].map(({ bridge }) => ({
    client: new LeanClient(bridge.socket, bridge.nextId()),
    latency: [] as number[],
    rate: [] as number[],
  }));
  const [calls, burst] = quick ? [300, 3000] : [1000, 10_000];
  for (const { client } of sides) {
    await client.sequential(EMPTY, 500);
    await client.windowed(EMPTY, burst, WINDOW);
  }
  for (let block = 0; block < BLOCKS; block += 1) {
    progress(`RPC block ${block + 1} of ${BLOCKS}`);
    for (const side of sides) side.latency.push(...(await side.client.sequential(EMPTY, calls)));
    for (const side of sides) side.rate.push(await side.client.windowed(EMPTY, burst, WINDOW));
  }
  return figures(sides[0], sides[1]);
}

interface Side {
  latency: number[];
  rate: number[];
}

function figures(agent: Side | undefined, echo: Side | undefined): Figure[] {
  if (!agent || !echo) throw new Error('both sides are measured');
  const p50 = median(agent.latency);
  const floor = median(echo.latency);
  const against = (value: number) => [{ name: 'echo in Node', value }];
  return [
    {
      name: 'rpc.p50',
      label: 'empty RPC, p50',
      value: p50,
      unit: 'µs',
      better: 'lower',
      references: against(floor),
      target: atMost(p50, floor + 50, '≤ echo + 50 µs'),
    },
    {
      name: 'rpc.p99',
      label: 'empty RPC, p99',
      value: quantile(agent.latency, 0.99),
      unit: 'µs',
      better: 'lower',
      references: against(quantile(echo.latency, 0.99)),
    },
    {
      name: 'rpc.rate64',
      label: `empty RPC, ${WINDOW} in flight`,
      value: median(agent.rate),
      unit: '1/s',
      better: 'higher',
      references: against(median(echo.rate)),
    },
  ];
}
