import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { setNonBlock } from '../../src/os/pipe.ts';
import { openPty } from '../../src/os/pty.ts';
import { Reaper } from '../../src/os/reaper.ts';
import type { RawAgent } from '../../test/support/agent-process.ts';
import { makeSpec } from '../../test/support/bundle.ts';
import { RAW } from '../../test/support/raw-client.ts';
import { create, deleteState, signal, startInit, wait } from '../../test/support/raw-flows.ts';
import { atLeast, type Figure, median } from '../figures.ts';
import { buildStreamTool, rateOf, STREAM, StreamEnd } from '../stream-tool.ts';
import { freshId, type MeasureContext, startSubject } from '../subject.ts';

const JS_RELAY = fileURLToPath(new URL('../peers/js-relay.ts', import.meta.url));
const MiB = 2 ** 20;

/** A host with its agent. */
type Raw = Pick<RawAgent, 'host' | 'bridge'>;

export type StreamKind = 'stdout' | 'stdin' | 'tty';

/** How much is moved, and in what pieces. */
export interface Load {
  name: 'large' | 'small';
  bytes: number;
  chunk: number;
}

function loads(kind: StreamKind, quick: boolean): Load[] {
  const scale = quick ? 1 / 4 : 1;
  const large = (kind === 'tty' ? 128 : 2048) * MiB * scale;
  return [
    { name: 'large', bytes: large, chunk: MiB },
    { name: 'small', bytes: (kind === 'tty' ? 32 : 128) * MiB * scale, chunk: 512 },
  ];
}

/** The program at the container's end of the stream. */
export function program(kind: StreamKind, { bytes, chunk }: Load): string[] {
  const dd =
    kind === 'stdin'
      ? `dd of=/dev/null bs=${chunk}`
      : `dd if=/dev/zero bs=${chunk} count=${bytes / chunk}`;
  // On a terminal its statistics would be among what is counted.
  return ['sh', '-c', `exec ${dd} 2>/dev/null`];
}

/** Outside the container the same busybox runs. */
function programsOf({ rootfs }: MeasureContext): NodeJS.ProcessEnv {
  return { ...process.env, PATH: join(rootfs, 'bin') };
}

/** A container that sleeps, for the processes whose streams are measured. */
export async function withContainer(
  raw: Raw,
  context: Pick<MeasureContext, 'rootfs' | 'directory'>,
  body: (id: string) => Promise<void>,
): Promise<void> {
  const id = freshId();
  const spec = makeSpec({
    args: ['sleep', '1000'],
    rootPath: context.rootfs,
    cgroupsPath: `/containers/${id}`,
  });
  await create(raw.bridge, id, join(context.directory, id), spec);
  const init = await startInit(raw.host, raw.bridge, id, {});
  await body(id);
  const ended = wait(raw.bridge, id, init.pid);
  await signal(raw.bridge, id, init.pid, 9);
  await ended;
  await deleteState(raw.bridge, id);
}

/** GiB/s of an exec in a container. */
export function throughAgent(raw: Raw, id: string, kind: StreamKind, load: Load): Promise<number> {
  const terminal = kind === 'tty';
  const { process } = makeSpec({ args: program(kind, load), terminal });
  return throughProcess(raw, id, kind, load, { OciProcess: process });
}

/** GiB/s of a process that is started with these parameters. */
export async function throughProcess(
  raw: Raw,
  id: string,
  kind: StreamKind,
  load: Load,
  parameters: object,
): Promise<number> {
  const { bridge, host } = raw;
  const port = host.unusedPort();
  const path = `${host.path}_${port}`;
  using end =
    kind === 'stdin'
      ? await StreamEnd.source(path, load.bytes, load.chunk)
      : await StreamEnd.sink(path, load.bytes);
  const reply = await bridge.call(RAW.executeProcess, {
    ContainerId: id,
    Settings: {
      ProcessParameters: JSON.stringify({
        CreateStdInPipe: kind === 'stdin',
        CreateStdOutPipe: kind !== 'stdin',
        ...parameters,
      }),
      VsockStdioRelaySettings: kind === 'stdin' ? { StdIn: port } : { StdOut: port },
    },
  });
  const ended = wait(bridge, id, Number(reply.body.ProcessId));
  const rate = await end.rate;
  await ended;
  return rate;
}

async function throughJavaScript(
  context: MeasureContext,
  kind: StreamKind,
  load: Load,
): Promise<number> {
  const path = join(context.directory, `${freshId()}.sock`);
  using end =
    kind === 'stdin'
      ? await StreamEnd.source(path, load.bytes, load.chunk)
      : await StreamEnd.sink(path, load.bytes);
  const relay = spawn(process.execPath, [JS_RELAY, kind, path, ...program(kind, load)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: programsOf(context),
  });
  const exited = once(relay, 'exit');
  const rate = await end.rate;
  await exited;
  return rate;
}

/** The program on a terminal whose master is read by nothing but the measuring end. */
async function throughTerminal(context: MeasureContext, load: Load): Promise<number> {
  using reaper = Reaper.start();
  const { master, path } = openPty({ width: 80, height: 24 });
  setNonBlock(master, false);
  const sink = spawn(STREAM, ['sink'], { stdio: [master.raw, 'ignore', 'pipe'] });
  master.close();
  const [file = '', ...args] = program('tty', load);
  const env = Object.entries(programsOf(context)).map(([name, value]) => `${name}=${value}`);
  const child = reaper.spawn({ file, args: [file, ...args], env, stdio: [], terminal: path });
  const report = await text(sink.stderr as Readable);
  await child.exited;
  return rateOf(report, load.bytes);
}

/** The same programs with nothing but what the kernel has between them. */
function throughKernel(context: MeasureContext, kind: StreamKind, load: Load): Promise<number> {
  return kind === 'tty' ? throughTerminal(context, load) : throughPipe(context, kind, load);
}

/** The same programs with nothing but a pipe between them. */
async function throughPipe(context: MeasureContext, kind: StreamKind, load: Load): Promise<number> {
  const dd = program(kind, load).at(-1);
  const command =
    kind === 'stdin'
      ? `'${STREAM}' source ${load.bytes} ${load.chunk} | (${dd})`
      : `(${dd}) | '${STREAM}' sink`;
  const shell = spawn('sh', ['-c', command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: programsOf(context),
  });
  return rateOf(await text(shell.stderr), load.bytes);
}

function figureOf(
  kind: StreamKind,
  load: Load,
  rates: Record<'agent' | 'js' | 'kernel', number[]>,
): Figure {
  const value = median(rates.agent);
  const js = median(rates.js);
  const plain = kind === 'tty' ? 'plain terminal' : 'plain pipe';
  const wanted = kind === 'tty' ? 2 : 3;
  return {
    name: `${kind}.${load.name}`,
    label: `${kind}, writes of ${load.chunk >= MiB ? '1 MiB' : `${load.chunk} B`}`,
    value,
    unit: 'GiB/s',
    better: 'higher',
    references: [
      { name: 'JS relay', value: js },
      { name: plain, value: median(rates.kernel) },
    ],
    ...(load.name === 'large' && kind !== 'stdin'
      ? { target: atLeast(value, js * wanted, `≥ ${wanted} × JS relay`) }
      : {}),
  };
}

/** One kind of stream: through the agent, through JavaScript and through the kernel alone, in turns. */
export function measureThroughput(kind: StreamKind) {
  return async (context: MeasureContext): Promise<Figure[]> => {
    buildStreamTool();
    await using raw = await startSubject(context.subject);
    const figures: Figure[] = [];
    await withContainer(raw, context, async (id) => {
      for (const load of loads(kind, context.quick)) {
        const rates = { agent: [] as number[], js: [] as number[], kernel: [] as number[] };
        const rounds = context.quick ? 3 : 5;
        for (let round = 0; round < rounds; round += 1) {
          context.progress(`${kind}, ${load.name} writes, round ${round + 1} of ${rounds}`);
          rates.agent.push(await throughAgent(raw, id, kind, load));
          rates.js.push(await throughJavaScript(context, kind, load));
          rates.kernel.push(await throughKernel(context, kind, load));
        }
        figures.push(figureOf(kind, load, rates));
      }
    });
    return figures;
  };
}
