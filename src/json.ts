/**
 * JSON that keeps integers exact (RFC 8259 sets no range): an integer outside ±(2^53-1) is parsed
 * to a bigint, and a bigint is written as a plain integer.
 */
export declare function parseJson(text: string): unknown;
export declare function stringifyJson(value: unknown): string;
