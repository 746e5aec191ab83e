import type { Result } from '../management/contract.ts';
import type { Integer } from '../spec/oci.ts';

export type ContainerState = Result<'container.state'>;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A time span in words, as exact as people want it: "3 minutes". `milliseconds` below 0 is 0. */
export function spanInWords(milliseconds: number): string {
  const span = Math.max(0, milliseconds);
  if (span < SECOND) return 'less than a second';
  if (span < MINUTE) return count(span / SECOND, 'second');
  if (span < 2 * HOUR) return span < HOUR ? count(span / MINUTE, 'minute') : 'about an hour';
  if (span < 2 * DAY) return count(span / HOUR, 'hour');
  if (span < 14 * DAY) return count(span / DAY, 'day');
  if (span < 60 * DAY) return count(span / (7 * DAY), 'week');
  if (span < 730 * DAY) return count(span / (30 * DAY), 'month');
  return count(span / (365 * DAY), 'year');
}

/** "3 minutes ago". */
export function ago(at: number, now: number): string {
  return `${spanInWords(now - at)} ago`;
}

function count(amount: number, unit: string): string {
  const whole = Math.floor(amount);
  return `${whole} ${unit}${whole === 1 ? '' : 's'}`;
}

/** "Up 3 minutes (paused)", "Exited (137) 2 hours ago (out of memory)". */
export function statusText(container: ContainerState, now: number): string {
  const { status, exit, startedAt } = container;
  if (exit !== undefined) {
    const notes = [
      ...(exit.oomKilled ? ['out of memory'] : []),
      // A signal is in the code already.
      ...(exit.reason === undefined || exit.signal !== undefined ? [] : [exit.reason]),
    ];
    const note = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
    return `Exited (${exit.exitCode}) ${ago(exit.finishedAt, now)}${note}`;
  }
  const up = startedAt === undefined ? 'Up' : `Up ${spanInWords(now - startedAt)}`;
  switch (status) {
    case 'running':
      return up;
    case 'paused':
      return `${up} (paused)`;
    case 'creating':
      return 'Creating';
    case 'created':
      return 'Created';
    case 'stopped':
      return 'Exited';
    case 'destroyed':
      return 'Removed';
  }
}

/** "10.5MiB": three digits that matter, powers of 1024. */
export function binaryBytes(value: Integer): string {
  return scaled(Number(value), 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']);
}

/** "1.2MB": powers of 1000, as networks and disks are told of. */
export function decimalBytes(value: Integer): string {
  return scaled(Number(value), 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']);
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let size = value;
  let unit = 0;
  while (size >= step && unit < units.length - 1) {
    size /= step;
    unit += 1;
  }
  if (unit === 0) return `${size}${units[0]}`;
  return `${size.toPrecision(size >= 1000 ? 4 : 3)}${units[unit]}`;
}

/** "2026-01-31T12:00:00.123Z". */
export function timestamp(at: number): string {
  return new Date(at).toISOString();
}
