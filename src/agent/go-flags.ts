/**
 * Command line flags as Go's flag package reads them, because hosts write them that way:
 * one or two dashes, `-name=value` or `-name value`, booleans only as `-name` or `-name=value`.
 */
export type FlagSpec =
  | { kind: 'boolean'; default: boolean; help: string }
  | { kind: 'string'; default: string; help: string; placeholder: string }
  | { kind: 'integer'; default: number; help: string; placeholder: string };

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

type ValueOf<S extends FlagSpec> = S['kind'] extends 'boolean'
  ? boolean
  : S['kind'] extends 'integer'
    ? number
    : string;
export type FlagValues<S extends FlagSpecs> = { -readonly [K in keyof S]: ValueOf<S[K]> };

export class FlagError extends Error {
  override readonly name = 'FlagError';
}

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/** Go's strconv.ParseBool; undefined for anything else. */
export function parseGoBoolean(text: string): boolean | undefined {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  return undefined;
}

/** Parses arguments. Throws FlagError with a message for the user; 'help' for -h, -help and --help. */
export function parseFlags<S extends FlagSpecs>(
  specs: S,
  args: readonly string[],
): FlagValues<S> | 'help' {
  const values: Record<string, boolean | string | number> = {};
  for (const [name, spec] of Object.entries(specs)) values[name] = spec.default;
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] ?? '';
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument);
    if (match === null) throw new FlagError(`unexpected argument ${JSON.stringify(argument)}`);
    const name = match[1] ?? '';
    if (name === 'h' || name === 'help') return 'help';
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (spec === undefined) throw new FlagError(`flag provided but not defined: -${name}`);
    const inline = match[2];
    if (spec.kind === 'boolean') values[name] = booleanValue(name, inline);
    else {
      const text = inline ?? args[++i];
      if (text === undefined) throw new FlagError(`flag needs an argument: -${name}`);
      values[name] = spec.kind === 'integer' ? integerValue(name, text) : text;
    }
  }
  return values as FlagValues<S>;
}

function booleanValue(name: string, text: string | undefined): boolean {
  const value = text === undefined ? true : parseGoBoolean(text);
  if (value === undefined) {
    throw new FlagError(`invalid boolean value ${JSON.stringify(text)} for -${name}`);
  }
  return value;
}

function integerValue(name: string, text: string): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    throw new FlagError(`invalid value ${JSON.stringify(text)} for -${name}: not an integer >= 0`);
  }
  return value;
}

/** Usage text with one aligned line a flag. */
export function formatFlags(specs: FlagSpecs): string {
  const rows = Object.entries(specs).map(([name, spec]): [string, string] => [
    spec.kind === 'boolean' ? `-${name}` : `-${name} ${spec.placeholder}`,
    spec.default === '' || spec.default === false
      ? spec.help
      : `${spec.help} (default ${spec.default})`,
  ]);
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('');
}
