/**
 * JSON for the raw client: integers that a JavaScript number cannot hold go out digit for digit
 * and come back as bigint. Written apart from src/json.ts on purpose, with the engine's own means
 * (JSON.rawJSON and the reviver's source text), so that one checks the other.
 */
interface ExactJson {
  rawJSON(text: string): unknown;
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
}
const engine = JSON as unknown as ExactJson;

/** A piece of JSON text to be written as it is: digits("18446744073709551615"). */
export function digits(text: string): unknown {
  return engine.rawJSON(text);
}

export function encodeExact(value: unknown): string {
  return JSON.stringify(value, (_key, item) =>
    typeof item === 'bigint' ? digits(item.toString()) : item,
  );
}

export function decodeExact(text: string): unknown {
  return engine.parse(text, (_key, value, context) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    const source = context.source ?? '';
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}
