import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Logger } from '../log/logger.ts';
import { VmDirectory } from './directory.ts';
import { type SupervisorPlan, supervise } from './supervisor.ts';

/**
 * A supervisor's own process. The first line of `input` is the plan, the second, "detach", lets it
 * outlive the one who started it; without that the end of `input` ends the VM. Phases go to
 * `output` as JSON lines.
 */
export async function serveSupervisor(
  input: Readable,
  output: Writable,
  log: Logger,
): Promise<void> {
  const stop = new AbortController();
  output.on('error', () => {}); // Nobody listens any more once we are detached.
  const planned = Promise.withResolvers<SupervisorPlan>();
  let detached = false;
  createInterface({ input })
    .once('line', (line) => planned.resolve(JSON.parse(line) as SupervisorPlan))
    .on('line', (line) => {
      if (line === 'detach') detached = true;
    })
    .on('error', () => {}) // Closed follows.
    .once('close', () => {
      if (!detached) stop.abort('who started it is gone');
      planned.reject(new Error('no plan was given'));
    });
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => stop.abort(name));
  }
  const plan = await planned.promise;
  const directory = new VmDirectory(plan.base, plan.state.name);
  let ended = 'its supervisor failed';
  try {
    ended = await supervise(plan, {
      log,
      stop: stop.signal,
      onPhase: (phase, at) => output.write(`${JSON.stringify({ phase, at })}\n`),
    });
  } catch (error) {
    ended = error instanceof Error ? error.message : String(error);
    throw error;
  } finally {
    const last = directory.state();
    if (last !== undefined) directory.save({ ...last, ended });
  }
}
