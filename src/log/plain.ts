import { parseJson, stringifyJson } from '../json.ts';
import {
  isEnvironmentName,
  isSecretName,
  SCRUBBED,
  scrubArgument,
  scrubVariable,
} from './scrub.ts';

/** Bounds of one entry. What is beyond is replaced by a note, so that no message can flood the log. */
const MAX_DEPTH = 16;
const MAX_VALUES = 2000;
const MAX_TEXT = 8192;

/** What an entry may still hold. */
interface Budget {
  values: number;
  readonly scrub: boolean;
}

/**
 * A copy of a value that can be written as JSON whatever it is: errors become their text, cycles
 * and depths end, long texts are cut. With `scrub` secrets are taken out of it.
 */
export function plainFields(
  fields: Readonly<Record<string, unknown>>,
  scrub: boolean,
): Record<string, unknown> {
  return plainObject(fields, { values: MAX_VALUES, scrub }, 0);
}

function plain(value: unknown, budget: Budget, depth: number): unknown {
  if (budget.values-- <= 0 || depth > MAX_DEPTH) return '[…]';
  switch (typeof value) {
    case 'string':
      return plainText(value, budget, depth);
    case 'object':
      break;
    case 'function':
    case 'symbol':
      return String(value);
    default:
      return value;
  }
  if (value === null) return null;
  if (value instanceof Error) return plainText(value.message, budget, depth);
  if (value instanceof Date) return value.toJSON();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return plainArray(value, budget, depth);
  if (value instanceof Map) return plainObject(Object.fromEntries(value), budget, depth);
  if (value instanceof Set) return plainArray([...value], budget, depth);
  return plainObject(value as Record<string, unknown>, budget, depth);
}

function plainArray(items: readonly unknown[], budget: Budget, depth: number): unknown[] {
  const shown = items.slice(0, Math.max(0, budget.values)).map((item, index) => {
    const shownItem =
      budget.scrub && typeof item === 'string' ? scrubArgument(item, items[index - 1]) : item;
    return plain(shownItem, budget, depth + 1);
  });
  if (shown.length < items.length) shown.push(`[… ${items.length - shown.length} more]`);
  return shown;
}

function plainObject(
  object: Readonly<Record<string, unknown>>,
  budget: Budget,
  depth: number,
): Record<string, unknown> {
  const out: [string, unknown][] = [];
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue;
    if (budget.values <= 0) {
      out.push(['…', 'cut']);
      break;
    }
    out.push([name, plain(budget.scrub ? scrubField(name, value) : value, budget, depth + 1)]);
  }
  // fromEntries defines properties: a key "__proto__" stays data.
  return Object.fromEntries(out);
}

/** The value of a field as its name allows it to be shown. */
function scrubField(name: string, value: unknown): unknown {
  if (isEnvironmentName(name)) return scrubEnvironment(value);
  // An empty value is no secret, and a number (a key's size) none either.
  if (!isSecretName(name) || value === '' || typeof value === 'boolean') return value;
  return typeof value === 'number' || value === null ? value : SCRUBBED;
}

function scrubEnvironment(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map((item: unknown) =>
      typeof item === 'string' ? scrubVariable(item) : SCRUBBED,
    );
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.keys(value).map((name) => [name, SCRUBBED]));
  }
  return typeof value === 'string' ? scrubVariable(value) : value;
}

function plainText(text: string, budget: Budget, depth: number): string {
  const content = budget.scrub ? scrubEmbedded(text, budget, depth) : text;
  return content.length <= MAX_TEXT
    ? content
    : `${content.slice(0, MAX_TEXT)}…[cut, ${content.length} characters in all]`;
}

/** Messages carry JSON in strings, and that may hold an environment. */
function scrubEmbedded(text: string, budget: Budget, depth: number): string {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return stringifyJson(plain(parseJson(text), budget, depth + 1));
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}
