/**
 * JSON for what JSON has no words for: bytes and Infinity, as objects with one name that nothing of
 * ours has.
 */
const BYTES = '$bytes';
const INFINITE = '$infinity';

/** The same value with bytes and Infinity in a form that JSON takes. */
export function packed(value: unknown): unknown {
  if (value === Number.POSITIVE_INFINITY) return { [INFINITE]: true };
  if (value instanceof Uint8Array) return { [BYTES]: Buffer.from(value).toString('hex') };
  if (Array.isArray(value)) return value.map(packed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, packed(each)]));
}

export function unpacked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unpacked);
  if (typeof value !== 'object' || value === null) return value;
  const { [BYTES]: bytes, [INFINITE]: infinite } = value as Record<string, unknown>;
  if (typeof bytes === 'string') return Uint8Array.from(Buffer.from(bytes, 'hex'));
  if (infinite === true) return Number.POSITIVE_INFINITY;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, unpacked(each)]));
}
