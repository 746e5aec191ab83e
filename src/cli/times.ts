import { UsageError } from './exit-codes.ts';

const UNITS: Readonly<Record<string, number>> = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/**
 * A moment in milliseconds since 1970: a date of RFC 3339 (local time without a zone), seconds since
 * 1970, or a span back from `now`: "10s", "1h30m". Throws UsageError.
 */
export function parseTime(option: string, text: string, now: number): number {
  const span = parseSpan(text);
  if (span !== undefined) return now - span;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const date = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/.test(
    text,
  )
    ? // A date alone is one of UTC to Date.parse, and of here to people.
      Date.parse(text.length === 10 ? `${text}T00:00:00` : text)
    : Number.NaN;
  if (!Number.isNaN(date)) return date;
  throw new UsageError(
    `${option} is a time like 10m, 2026-01-31T12:00:00Z or 1769860800, not "${text}"`,
  );
}

/** Undefined for what is no span. */
function parseSpan(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(d|h|ms|m|s))+$/.test(text)) return undefined;
  let span = 0;
  for (const [, amount, unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(d|h|ms|m|s)/g)) {
    span += Number(amount) * (UNITS[unit] ?? 0);
  }
  return span;
}
