import type { RuntimeContainerState, RuntimeState } from '../runtime.ts';

const states: ReadonlySet<string> = new Set<RuntimeState>([
  'creating',
  'created',
  'running',
  'paused',
  'stopped',
]);

function isState(text: unknown): text is RuntimeState {
  return typeof text === 'string' && states.has(text);
}

function field(row: object, name: string): unknown {
  return (row as Record<string, unknown>)[name];
}

function stateOf(row: unknown): RuntimeContainerState {
  if (typeof row !== 'object' || row === null) {
    throw new TypeError(`the runtime described a container as ${JSON.stringify(row)}`);
  }
  const [id, status, bundle] = [field(row, 'id'), field(row, 'status'), field(row, 'bundle')];
  if (typeof id !== 'string' || typeof bundle !== 'string' || !isState(status)) {
    throw new TypeError(`the runtime described a container as ${JSON.stringify(row)}`);
  }
  const [pid, created] = [field(row, 'pid'), field(row, 'created')];
  return {
    id,
    status,
    pid: typeof pid === 'number' ? pid : 0, // Optional in the runtime specification.
    bundle,
    created: typeof created === 'string' ? created : '',
  };
}

/** Output of `state`: the State object of the OCI runtime specification (runtime.md). */
export function parseState(output: string): RuntimeContainerState {
  return stateOf(JSON.parse(output));
}

/** Output of `list -f json`; runc prints `null` when there are none. */
export function parseList(output: string): RuntimeContainerState[] {
  return arrayOf(output).map(stateOf);
}

/** Output of `ps -f json`; runc prints `null` when there are none. */
export function parsePids(output: string): number[] {
  return arrayOf(output).map((pid) => {
    if (typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 0) return pid;
    throw new TypeError(`the runtime listed ${JSON.stringify(pid)} as a pid`);
  });
}

function arrayOf(output: string): unknown[] {
  const parsed: unknown = JSON.parse(output) ?? [];
  if (Array.isArray(parsed)) return parsed;
  throw new TypeError('the runtime printed no array');
}
