import { type ContainerId, RuntimeError } from './runtime.ts';

/** Longest id the OCI runtimes' grammar takes. */
const grammarLimit = 1024;

/**
 * Longest id that can exist: it names a directory in the runtime's state and a cgroup, and one
 * component of a path is at most NAME_MAX bytes (limits.h).
 */
const componentLimit = 255;

const grammar = /^[A-Za-z0-9_+.-]+$/;

function complaint(id: string): string | undefined {
  if (id === '') return 'it is empty';
  if (id.length > grammarLimit) {
    return `it has ${id.length} characters, ${grammarLimit} are allowed`;
  }
  if (!grammar.test(id)) return 'only letters, digits and the characters _ + - . are allowed';
  if (id === '.' || id === '..') return 'it names a directory';
  if (id.length > componentLimit) {
    return `it has ${id.length} characters, the name of a directory has at most ${componentLimit}`;
  }
  return undefined;
}

/**
 * Checks a container id before it becomes part of a path: letters, digits, `_ + - .`, at least
 * one and at most 255 characters, never `.` or `..`. That is what runc accepts, cut at what a
 * directory's name can hold. Throws RuntimeError 'invalid-id'.
 */
export function parseContainerId(text: string): ContainerId {
  const reason = complaint(text);
  if (reason === undefined) return text as ContainerId;
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  throw new RuntimeError(
    'invalid-id',
    `invalid container ID format: ${JSON.stringify(shown)}: ${reason}`,
    { operation: 'parse container id', containerId: shown },
  );
}
