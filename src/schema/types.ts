/**
 * What a field does when its value is missing.
 * - `always`: decodes to the zero value, is always written.
 * - `omit-zero`: decodes to the zero value, is left out when it is one (Go's `omitempty`).
 * - `optional`: stays absent, both ways.
 * - `required`: missing or null is an error.
 */
export type Presence = 'always' | 'omit-zero' | 'optional' | 'required';

/** Structure of a schema for documentation. */
export type Shape =
  | { readonly kind: 'scalar'; readonly name: string }
  | { readonly kind: 'array'; readonly item: Shape }
  | { readonly kind: 'map'; readonly value: Shape }
  | { readonly kind: 'object'; readonly fields: readonly FieldShape[]; readonly keeps: boolean }
  | { readonly kind: 'embedded'; readonly content: Shape };

export interface FieldShape {
  readonly name: string;
  readonly presence: Presence;
  readonly shape: Shape;
  readonly doc: string | undefined;
}

/**
 * A JSON type of the protocol with Go's decoding rules. `Out` is what decoding gives, `In` what
 * encoding takes (fields that may be left out are optional there).
 */
export interface Schema<Out, In = Out, P extends Presence = 'always'> {
  readonly shape: Shape;
  readonly presence: P;
  readonly doc?: string;
  /** Value of a missing or null field. */
  readonly zero: () => Out;
  /** `value` is neither null nor undefined. Throws SchemaError. */
  readonly decode: (value: unknown) => Out;
  /** To a JSON value; nothing is checked, the types have done that. */
  readonly encode: (value: In) => unknown;
}

export type AnySchema = Schema<unknown, never, Presence>;
export type Fields = Readonly<Record<string, AnySchema>>;
type Simplify<T> = { [K in keyof T]: T[K] };

/** What decoding with this schema gives. */
export type OutOf<S> = S extends Schema<infer Out, never, Presence> ? Out : never;
/** What encoding with this schema takes. */
export type InOf<S> = S extends Schema<unknown, infer In, Presence> ? In : never;
type PresenceOf<S> = S extends Schema<unknown, never, infer P> ? P : never;

export type ObjectOut<F extends Fields> = Simplify<
  { [K in keyof F as PresenceOf<F[K]> extends 'optional' ? never : K]: OutOf<F[K]> } & {
    [K in keyof F as PresenceOf<F[K]> extends 'optional' ? K : never]?: OutOf<F[K]>;
  }
>;
export type ObjectIn<F extends Fields> = Simplify<
  { [K in keyof F as PresenceOf<F[K]> extends 'always' | 'required' ? K : never]: InOf<F[K]> } & {
    [K in keyof F as PresenceOf<F[K]> extends 'always' | 'required' ? never : K]?:
      | InOf<F[K]>
      | undefined;
  }
>;
export type Kept = { [field: string]: unknown };
