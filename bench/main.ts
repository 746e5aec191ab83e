/** `npm run bench`: measures, and says beside each figure what it is held against. */
import { mkdtempSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { makeRootfs } from '../test/support/rootfs.ts';
import { Interrupted, Interruption, removeLeftovers } from './cleanup.ts';
import type { Figure } from './figures.ts';
import { measureCrowd } from './measures/crowd.ts';
import { measureDoorMemory } from './measures/door-memory.ts';
import { measureEvents } from './measures/events.ts';
import { measureExecSync } from './measures/exec-sync.ts';
import { measureExit } from './measures/exit-latency.ts';
import { measureLifecycle } from './measures/lifecycle.ts';
import { measureMany } from './measures/many.ts';
import { measureMemory } from './measures/memory.ts';
import { measureRecovery } from './measures/recovery.ts';
import { measureRpc } from './measures/rpc.ts';
import { measureStart } from './measures/start.ts';
import { measureThroughput } from './measures/throughput.ts';
import { type BenchOptions, HELP, parseOptions } from './options.ts';
import { enterPrivateRun } from './private-run.ts';
import { showing } from './progress.ts';
import { type MeasureContext, OURS, type Subject } from './subject.ts';
import { type Result, table } from './table.ts';
import { measureInVm, VM_MEASURES } from './vm.ts';

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
  'exec-sync': measureExecSync,
  many: measureMany,
  events: measureEvents,
  recovery: measureRecovery,
  'door-memory': measureDoorMemory,
};

/** Of the management door and the supervisor, which another agent does not have. */
const OURS_ALONE: ReadonlySet<string> = new Set([
  'exec-sync',
  'many',
  'events',
  'recovery',
  'door-memory',
]);

async function measureAll(options: BenchOptions): Promise<Result[]> {
  const directory = mkdtempSync('/run/gcs-bench-');
  using interruption = new Interruption();
  try {
    const rootfs = makeRootfs(join(directory, 'rootfs'));
    const base = { quick: options.quick, rootfs, directory };
    const peer = options.peer && { name: 'peer', command: options.peer };
    const results: Result[] = [];
    for (const name of options.only.length > 0 ? options.only : Object.keys(MEASURES)) {
      const measure = (subject: Subject): Promise<Figure[]> =>
        showing(name, subject.name, interruption, (progress) => {
          const body = MEASURES[name];
          if (!body) throw new Error(`no measure ${name}`);
          return body({ ...base, subject, progress });
        });
      const figures = await measure(OURS);
      const others = peer && !OURS_ALONE.has(name) ? await measure(peer) : [];
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
  const options = parseOptions(process.argv.slice(2), {
    machine: Object.keys(MEASURES),
    vm: Object.keys(VM_MEASURES),
  });
  if (options === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  enterPrivateRun();
  const [load = 0] = loadavg();
  const results = await (options.vm ? measureInVm(options) : measureAll(options));
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
