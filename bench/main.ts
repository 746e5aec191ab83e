/** `npm run bench`: measures, and says beside each figure what it is held against. */
import { mkdtempSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { makeRootfs } from '../test/support/rootfs.ts';
import { Interrupted, Interruption, removeLeftovers } from './cleanup.ts';
import type { Figure } from './figures.ts';
import { measureCrowd } from './measures/crowd.ts';
import { measureExit } from './measures/exit-latency.ts';
import { measureLifecycle } from './measures/lifecycle.ts';
import { measureMemory } from './measures/memory.ts';
import { measureRpc } from './measures/rpc.ts';
import { measureStart } from './measures/start.ts';
import { measureThroughput } from './measures/throughput.ts';
import { type BenchOptions, HELP, parseOptions } from './options.ts';
import { enterPrivateRun } from './private-run.ts';
import { type MeasureContext, OURS, type Subject } from './subject.ts';
import { type Result, table } from './table.ts';

const MEASURES: Record<string, (context: MeasureContext) => Promise<Figure[]>> = {
  start: measureStart,
  rpc: measureRpc,
  lifecycle: measureLifecycle,
  pipe: measureThroughput('stdout'),
  stdin: measureThroughput('stdin'),
  tty: measureThroughput('tty'),
  crowd: measureCrowd,
  exit: measureExit,
  memory: measureMemory,
};

/** One line that is written over on a terminal; elsewhere only the first of each measure. */
function progressFor(measure: string, who: string): (text: string) => void {
  if (process.stderr.isTTY) {
    return (text) => process.stderr.write(`\r\x1b[K${measure} (${who}): ${text}`);
  }
  process.stderr.write(`${measure} (${who}) …\n`);
  return () => {};
}

async function measure(
  name: string,
  subject: Subject,
  base: Omit<MeasureContext, 'subject' | 'progress'>,
  interruption: Interruption,
): Promise<Figure[]> {
  const body = MEASURES[name];
  if (!body) throw new Error(`no measure ${name}`);
  const show = progressFor(name, subject.name);
  const progress = (text: string) => {
    interruption.check();
    show(text);
  };
  const figures = await body({ ...base, subject, progress }).catch((error: unknown) => {
    // Whatever failed because its process was ended says less than why it was.
    interruption.check();
    throw error;
  });
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  return figures;
}

async function measureAll(options: BenchOptions): Promise<Result[]> {
  const directory = mkdtempSync('/run/gcs-bench-');
  using interruption = new Interruption();
  try {
    const rootfs = makeRootfs(join(directory, 'rootfs'));
    const base = { quick: options.quick, rootfs, directory };
    const peer = options.peer && { name: 'peer', command: options.peer };
    const results: Result[] = [];
    for (const name of options.only.length > 0 ? options.only : Object.keys(MEASURES)) {
      const figures = await measure(name, OURS, base, interruption);
      const others = peer ? await measure(name, peer, base, interruption) : [];
      for (const figure of figures) {
        const other = others.find((candidate) => candidate.name === figure.name);
        results.push({ figure, ...(other ? { peer: other } : {}) });
      }
    }
    return results;
  } finally {
    await removeLeftovers(directory);
  }
}

/** Undefined when the measured programs had the machine to themselves, as far as can be told. */
function disturbance(loadBefore: number): string | undefined {
  const processors = availableParallelism();
  if (loadBefore < processors / 2) return undefined;
  return `The machine was busy before (load ${loadBefore.toFixed(1)} on ${processors} processors): take the differences as rough.`;
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), Object.keys(MEASURES));
  if (options === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  enterPrivateRun();
  const [load = 0] = loadavg();
  const results = await measureAll(options);
  const disturbed = disturbance(load);
  if (options.json) {
    const figures = results.map(({ figure, peer }) => ({ ...figure, ...(peer ? { peer } : {}) }));
    process.stdout.write(`${JSON.stringify({ node: process.version, load, figures }, null, 2)}\n`);
  } else {
    process.stdout.write(`\n${table(results, options.peer !== undefined)}\n`);
    if (disturbed) process.stdout.write(`\n${disturbed}\n`);
  }
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof TypeError || error instanceof Interrupted)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = error instanceof Interrupted ? 130 : 2;
}
