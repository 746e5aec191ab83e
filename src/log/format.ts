import { stringifyJson } from '../json.ts';
import type { LogLevel } from './logger.ts';

export type LogFormat = 'json' | 'text';

export interface LogEntry {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  /** JSON values only, see src/log/plain.ts. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Longest line. Readers that take lines (the host's log forwarder) have buffers of about this size. */
const MAX_LINE = 65_536;

/** Keys of every entry: a field of that name is renamed, as logrus does it. */
const reserved = new Set(['time', 'level', 'msg']);

function fieldName(name: string): string {
  return reserved.has(name) ? `fields.${name}` : name;
}

/** One JSON object a line with logrus' keys, which hosts parse. */
function formatJson({ time, level, message, fields }: LogEntry): string {
  const named = Object.entries(fields).map(([name, value]) => [fieldName(name), value] as const);
  return stringifyJson({ time, level, msg: message, ...Object.fromEntries(named) });
}

/** What needs no quotes in text form. */
const bare = /^[\w./@^+:-]+$/;

function textValue(value: unknown): string {
  const text = typeof value === 'string' ? value : stringifyJson(value);
  return bare.test(text) ? text : JSON.stringify(text);
}

/** `time="…" level=info msg="…" name=value`, for people. */
function formatText({ time, level, message, fields }: LogEntry): string {
  const pairs = Object.entries(fields).map(([name, v]) => `${fieldName(name)}=${textValue(v)}`);
  return [`time="${time}"`, `level=${level}`, `msg=${JSON.stringify(message)}`, ...pairs].join(' ');
}

/** The line of an entry, with its newline. */
export function formatEntry(format: LogFormat, entry: LogEntry): string {
  const write = format === 'json' ? formatJson : formatText;
  const line = write(entry);
  if (line.length < MAX_LINE) return `${line}\n`;
  const message = entry.message.slice(0, MAX_LINE / 8);
  const fields = { cut: `the fields of this entry took ${line.length} characters` };
  return `${write({ ...entry, message, fields })}\n`;
}
