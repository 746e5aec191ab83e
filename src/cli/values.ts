import { isAbsolute, resolve } from 'node:path';
import type { OciMount } from '../spec/oci.ts';
import { UsageError } from './exit-codes.ts';
import type { Io } from './io.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** "64m", "1.5g", "4096" to bytes. */
export function parseBytes(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)([bkmgt]?)(?:i?b)?$/i.exec(text);
  const unit = UNITS[(match?.[2] ?? '').toLowerCase()];
  const bytes =
    match === null || unit === undefined ? Number.NaN : Math.floor(Number(match[1]) * unit);
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new UsageError(`${option} is a size like 64m or 1g, not "${text}"`);
  }
  return bytes;
}

/** "SOURCE:DESTINATION[:ro|rw]" to a recursive bind mount; a relative source is one of this directory. */
export function parseMount(text: string, cwd: string): OciMount {
  const [source = '', destination = '', mode = 'rw', ...rest] = text.split(':');
  if (source === '' || !isAbsolute(destination) || rest.length > 0) {
    throw new UsageError(`--mount is SOURCE:DESTINATION[:ro], DESTINATION absolute, not "${text}"`);
  }
  if (mode !== 'ro' && mode !== 'rw') {
    throw new UsageError(`--mount ${text}: the third part is ro or rw, not "${mode}"`);
  }
  return {
    destination,
    type: 'bind',
    source: resolve(cwd, source),
    options: ['rbind', 'rprivate', mode],
  };
}

/** "NAME=value" as it is; "NAME" with this process's own value, left out when it has none. */
export function parseEnvironment(entries: readonly string[], io: Io): string[] {
  return entries.flatMap((entry) => {
    const [name = ''] = entry.split('=', 1);
    if (name === '') throw new UsageError(`--env is NAME=VALUE or NAME, not "${entry}"`);
    if (entry.includes('=')) return [entry];
    const value = io.env[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
}

/** For a process that gets a terminal: what this one's is. */
export function terminalVariable(io: Io): string {
  return `TERM=${io.env.TERM ?? 'xterm'}`;
}

/** The only positional of a command, which names it in the error. */
export function onlyPositional(positionals: readonly string[], what: string): string {
  const [first, second] = positionals;
  if (first === undefined) throw new UsageError(`${what} is missing`);
  if (second !== undefined) throw new UsageError(`unexpected argument "${second}"`);
  return first;
}

/** For commands that take none. */
export function noPositionals(positionals: readonly string[]): void {
  const [first] = positionals;
  if (first !== undefined) throw new UsageError(`unexpected argument "${first}"`);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
