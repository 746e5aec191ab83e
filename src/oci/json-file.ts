import { readFileSync } from 'node:fs';
import { parseJson } from '../json.ts';
import type { OciProcess } from '../spec/oci.ts';
import { OciError } from './failure.ts';

export function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A file of the caller's (a path, or 0 for stdin) that must hold a JSON object. Its fields are still to be judged. */
export function readObject<T>(file: string | 0): T {
  const text = readFileSync(file, 'utf8');
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new OciError(`${file}: ${String(error)}`);
  }
  if (!isObject(value)) throw new OciError(`${file}: holds no object`);
  return value as T;
}

/** What every runtime asks of a process before all else; for the rest the agent has the words. */
export function checkProcess({ args, cwd }: OciProcess): void {
  if (args === undefined || args === null || args.length === 0) {
    throw new OciError('args must not be empty');
  }
  if (cwd === undefined || cwd === '') throw new OciError('Cwd property must not be empty');
}
