import type { Metrics } from './metrics.ts';

/** Largest figure the host decodes. */
const largest = 0xffff_ffff_ffff_ffffn;

/**
 * Metrics as the bridge's `LCOWMetrics`: snake case, zero figures, empty texts and empty lists
 * left out, objects present even when nothing is left in them. Figures stay bigint, so that
 * stringifyJson writes them digit for digit; one beyond 64 bits throws a RangeError, because the
 * host ends the bridge over a number it cannot decode.
 *
 * blkio and rdma are always empty and network is left out: they grow with the number of disks,
 * devices and interfaces, a reply has 64 KiB, and the host reads cpu and memory.
 */
export function metricsToJson(metrics: Metrics): Record<string, unknown> {
  return jsonObject({
    ...metrics,
    blkio: metrics.blkio === undefined ? undefined : {},
    rdma: metrics.rdma === undefined ? undefined : {},
    network: [],
  });
}

/** All of the metrics in the same form, for readers without a bound as tight as the bridge's. */
export function allMetricsToJson(metrics: Metrics): Record<string, unknown> {
  return jsonObject(metrics);
}

function jsonObject(message: object): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(message)) {
    const converted = jsonValue(key, value);
    if (converted !== undefined) json[key] = converted;
  }
  return json;
}

function jsonValue(key: string, value: unknown): unknown {
  switch (typeof value) {
    case 'bigint':
      if (value < 0n || value > largest) throw new RangeError(`${key}: ${value} is no uint64`);
      return value === 0n ? undefined : value;
    case 'number':
      return value === 0 ? undefined : value;
    case 'string':
      return value === '' ? undefined : value;
    case 'object':
      if (value === null) return undefined;
      if (!Array.isArray(value)) return jsonObject(value);
      // Inside a list a zero keeps its place: per_cpu is indexed by CPU.
      if (value.length === 0) return undefined;
      return value.map((item) => jsonValue(key, item) ?? item);
    default:
      return undefined;
  }
}
