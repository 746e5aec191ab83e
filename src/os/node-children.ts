import type { ChildProcess } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';

const alive = new Set<ChildProcess>();
const listeners = new Set<() => void>();

function add(child: ChildProcess): void {
  alive.add(child);
  child.once('exit', () => {
    alive.delete(child);
    for (const listener of listeners) listener();
  });
}

// Every ChildProcess (spawn, fork, execFile, execa) is announced here, before it has a pid. Not so
// spawnSync, which waits for its child before any other code of this thread runs.
subscribe('child_process', (message) => add((message as { process: ChildProcess }).process));

/** Children of Node's own that were started before this module was loaded and keep the loop alive. */
function findEarlier(): void {
  const { _getActiveHandles } = process as unknown as { _getActiveHandles?: () => unknown[] };
  for (const handle of _getActiveHandles?.call(process) ?? []) {
    const child = handle as ChildProcess;
    if (typeof child === 'object' && typeof child.pid === 'number' && 'signalCode' in child)
      add(child);
  }
}
findEarlier();

/** Pids that Node itself waits for at this moment: nobody else may collect them. */
export function nodeChildren(): Set<number> {
  const pids = new Set<number>();
  for (const child of alive) {
    // Not left to the 'exit' listener alone: somebody may have removed all listeners. A child that
    // could not be started has an exit code below zero.
    if (child.exitCode !== null || child.signalCode !== null) alive.delete(child);
    else if (child.pid !== undefined) pids.add(child.pid);
  }
  return pids;
}

/** Calls `listener` after Node has collected a child. Returns how to stop that. */
export function onNodeChildExit(listener: () => void): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}
