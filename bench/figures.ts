/** One measured number, and what it is held against. */
export interface Figure {
  /** "create.p50"; what --json calls it. */
  name: string;
  /** For people: "create, p50". */
  label: string;
  value: number;
  unit: 's' | 'ms' | 'µs' | 'GiB/s' | 'MiB/s' | 'MiB' | 'KiB' | '1/s' | '×';
  better: 'lower' | 'higher';
  /** Measured in the same run: raw runc, an echo server, a plain pipe … */
  references?: Reference[];
  target?: Target;
}

export interface Reference {
  name: string;
  value: number;
}

export interface Target {
  /** "≤ 60 ms", "≤ raw runc + 1.5 ms". */
  text: string;
  met: boolean;
}

/** Value at a quantile of 0 to 1, nearest rank. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1));
  const value = sorted[index];
  if (value === undefined) throw new Error('no samples');
  return value;
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

export function atMost(value: number, limit: number, text: string): Target {
  return { text, met: value <= limit };
}

export function atLeast(value: number, limit: number, text: string): Target {
  return { text, met: value >= limit };
}
