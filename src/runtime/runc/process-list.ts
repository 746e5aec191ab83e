import { processCommandLine, processState } from '../../os/process.ts';
import type { RuntimeProcessInfo } from '../runtime.ts';

/** Reads what /proc knows about each pid. A process that has gone meanwhile is left out. */
export function describeProcesses(
  pids: readonly number[],
  createdByRuntime: (pid: number) => boolean,
): RuntimeProcessInfo[] {
  const processes: RuntimeProcessInfo[] = [];
  for (const pid of pids) {
    const state = processState(pid);
    const commandLine = processCommandLine(pid);
    if (state === undefined || commandLine === undefined) continue;
    processes.push({
      pid,
      commandLine,
      createdByRuntime: createdByRuntime(pid),
      zombie: state === 'Z',
    });
  }
  return processes;
}
