import { AgentError } from '../errors.ts';

// Bytes: PATH_MAX with its NUL, and NAME_MAX.
const LONGEST_PATH = 4095;
const LONGEST_NAME = 255;

/** The error for a value the host sent; `why` follows the value. */
export function badValue(field: string, value: unknown, why: string): AgentError {
  const shown = typeof value === 'string' ? JSON.stringify(shorten(value)) : String(value);
  return new AgentError('invalid-argument', `${field}: ${shown} ${why}`, { field });
}

function shorten(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 100)}…${text.slice(-40)}`;
}

/**
 * A directory path that the host sent: absolute, nothing in it that leads up or elsewhere, not the
 * root. Returned without superfluous slashes. Links are found when the path is opened.
 */
export function hostPath(path: string, field: string): string {
  if (path === '') throw new AgentError('invalid-argument', `${field}: missing`, { field });
  if (path.includes('\0')) throw badValue(field, path, 'holds a NUL');
  if (!path.startsWith('/')) throw badValue(field, path, 'is not an absolute path');
  if (Buffer.byteLength(path) > LONGEST_PATH) throw badValue(field, path, 'is too long for a path');
  const names = path.split('/').filter((name) => name !== '');
  if (names.length === 0) throw badValue(field, path, 'must not be the root directory');
  for (const name of names) {
    if (name === '.' || name === '..') throw badValue(field, path, `must not contain '${name}'`);
    if (Buffer.byteLength(name) > LONGEST_NAME) {
      throw badValue(field, path, `holds a name of more than ${LONGEST_NAME} bytes`);
    }
  }
  return `/${names.join('/')}`;
}

/** True when `path` is `directory` or lies below it; both in normal form. */
export function isAtOrBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}
