import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../log/logger.ts';
import { hasCode } from '../os/errors.ts';
import { ExitRecords } from '../os/exit-records.ts';
import { faultPoint } from '../os/fault-point.ts';
import { adoptKnown } from '../os/known-process.ts';
import { Pidfd } from '../os/pidfd.ts';
import { processAgeMs, processGroup, processParent, processStartTime } from '../os/process.ts';
import type { RuntimeProcess } from '../runtime/runtime.ts';
import type { ProcessRecord } from '../state/journal.ts';
import { endFrom, type RecordedEnd } from '../state/records.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { OutputSettings } from '../stdio/output-stream.ts';
import { PipeRelay } from '../stdio/pipe-relay.ts';
import type { AgentPipes, StdioSession } from '../stdio/stdio.ts';
import { GuestProcess } from './guest-process.ts';
import type { Recovery } from './recover.ts';
import type { StartedStreams } from './streams.ts';

const SIGKILL = 9;
/** How exactly the start of a process and the time of a file are known. */
const startPrecisionMs = 30;

/** A process of the VM. One that the host was not told of is ended. */
export async function restoreUvmProcess(
  number: number,
  record: ProcessRecord,
  recovery: Recovery,
): Promise<void> {
  const { processes, reaper, journal } = recovery;
  const { phase, process, end, streams } = record.progress;
  if (phase === 'starting' || process === undefined) {
    const since = statSync(join(journal.path ?? '', `p/${number}.json`)).mtimeMs;
    endUntold(since, recovery);
    faultPoint(`process ${number} is ended`);
    record.remove();
    return;
  }
  const known = end === undefined ? process : { ...process, end: endFrom(end) };
  const child = adoptKnown(reaper, known);
  const session =
    streams === 'direct'
      ? undefined
      : await resumeSession(number, streams === 'terminal', recovery);
  faultPoint(`process ${number} has its streams`);
  watchEnd(child, record);
  processes.restore(child, session, record);
}

/** An exec in a container. */
export async function restoreExec(
  process: RuntimeProcess,
  number: number,
  record: ProcessRecord,
  recovery: Recovery,
  connections?: ConnectionSet,
): Promise<GuestProcess> {
  const terminal = record.progress.streams === 'terminal';
  const more = connections === undefined ? {} : { connections };
  const session = await resumeSession(number, terminal, recovery, more);
  watchEnd(process, record);
  return new GuestProcess(process, session, record);
}

/** From now on, and what it was found to be. */
export function watchEnd(
  process: Parameters<ProcessRecord['watch']>[0],
  record: Pick<ProcessRecord, 'ended'> & { readonly progress: { end?: RecordedEnd } },
): void {
  const { pid, startTime, ended } = process;
  // Ours from then on.
  const forget = (): void => ExitRecords.fromEnvironment().forget(pid, startTime);
  if (ended === undefined) {
    process.beforeCollect = (end) => {
      record.ended(end);
      forget();
    };
    return;
  }
  if (record.progress.end === undefined) record.ended(ended);
  forget();
}

/** Undefined where the streams are lost: the process sees them closed. */
export async function resumeSession(
  number: number,
  terminal: boolean,
  recovery: Recovery,
  more: OutputSettings & { connections?: ConnectionSet } = {},
): Promise<StdioSession | undefined> {
  const { streams, store, names, logger } = recovery;
  using _given = more.connections;
  if (store?.available !== true) return undefined;
  try {
    return await streams.resume(number, { terminal, names, ...more });
  } catch (error) {
    logger.error('streams are lost', { streams: number, error: String(error) });
    return undefined;
  }
}

const noPipes: AgentPipes = { stdin: null, stdout: null, stderr: null };

/** Of a container that has none any more: what it is started with is closed at once. */
export const lostStreams: StartedStreams = {
  relay: (connections) => new PipeRelay({ connections, pipes: noPipes, log: silentLogger }),
  [Symbol.dispose]: () => {},
};

/**
 * Ends the process of the VM whose pid was not written down in time: a child of our parent, like all
 * that an agent before us has started; leader of its session and outside every container; started
 * between that record and us; and known to nobody. To be called when all that is known is restored.
 */
function endUntold(since: number, { logger, processes, containers }: Recovery): void {
  const known = new Set([process.pid]);
  for (const { pid } of processes.table) known.add(pid);
  for (const { init, processes } of containers.values()) {
    for (const { pid } of [init, ...processes]) known.add(pid);
  }
  const own = processAgeMs(processStartTime(process.pid) ?? 0);
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!/^\d+$/.test(name) || known.has(pid)) continue;
    using found = Pidfd.open(pid);
    if (found === undefined || !startedOutside(pid)) continue;
    const age = processAgeMs(processStartTime(pid) ?? 0);
    if (age < own || age > Date.now() - since + startPrecisionMs) continue;
    logger.info('ending a process nobody was told of', { pid });
    found.signal(SIGKILL);
  }
}

function startedOutside(pid: number): boolean {
  if (processParent(pid) !== process.ppid || processGroup(pid) !== pid) return false;
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`) === readlinkSync('/proc/self/ns/pid');
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH')) return false; // It has ended.
    throw error;
  }
}
