import { lstatSync, rmSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import type { DoorFacts } from '../state/records.ts';
import { type CriLog, openCriLog } from '../stdio/cri-log.ts';

/** The log of a container of the management door; undefined when it is to have none. AgentError 'invalid-argument' for a path that cannot be one. */
export function openDoorLog(door: DoorFacts | undefined): CriLog | undefined {
  if (door?.log === undefined) return undefined;
  const { path, made: _made, ...limits } = door.log;
  try {
    return openCriLog(path, limits);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AgentError('invalid-argument', `log.path: ${path} cannot be a log: ${reason}`, {
      field: 'log.path',
      cause: error,
    });
  }
}

/** What is left of the log of a container that came to nothing: a file that was made for it, with nothing in it. */
export function removeUnusedLog(door: DoorFacts | undefined): void {
  if (door?.log?.made !== true) return;
  const { path } = door.log;
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() === true && stat.size === 0) rmSync(path, { force: true });
}
