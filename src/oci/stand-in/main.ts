import { makeTerminalRaw } from '../../os/raw-terminal.ts';
import { reasonOf } from '../failure.ts';
import { connectTo, readJsonLine, writeJsonLine } from '../json-line.ts';
import { standForExec, standForInit } from './life.ts';
import type { StandInPlan, StandInReport } from './plan.ts';
import { SteadyClient } from './steady-client.ts';

/** Exit code of a stand-in that does not know how its process ended. */
const UNKNOWN = 255;

/**
 * The process that stands for a container's process on the side of the caller: its streams are the
 * container's, its end is the container's, with the same exit code. Resolves with that code.
 */
export async function standIn(socketPath: string): Promise<number> {
  const reporter = await connectTo(socketPath);
  const report = (value: StandInReport): void => {
    writeJsonLine(reporter, value);
    reporter.end();
  };
  const plan = (await readJsonLine(reporter)) as StandInPlan | undefined;
  // Whoever started us has gone: nobody would ever know of the process.
  if (plan === undefined) return UNKNOWN;
  await using agent = new SteadyClient(plan.agent);
  let life: { readonly ended: Promise<number> };
  try {
    // The container's own terminal has the line discipline.
    if (plan.terminal) makeTerminalRaw();
    life = plan.kind === 'exec' ? await standForExec(agent, plan) : await standForInit(agent, plan);
  } catch (error) {
    report({ error: reasonOf(error) });
    return UNKNOWN;
  }
  report({ made: true });
  return await life.ended;
}
