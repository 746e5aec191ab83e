import { UsageError } from './exit-codes.ts';
import { nearest } from './nearest.ts';

interface OptionBase {
  /** One letter, for "-x". */
  readonly short?: string;
  readonly help: string;
}

/** One option of a command; `value` is the placeholder shown in the help. */
export type OptionSpec =
  /** Off by default; "--no-NAME" turns it off when `default` is true. */
  | (OptionBase & { readonly kind: 'flag'; readonly default?: boolean })
  | (OptionBase & { readonly kind: 'text'; readonly value: string })
  | (OptionBase & {
      readonly kind: 'number';
      readonly value: string;
      readonly min: number;
      readonly max: number;
      readonly fraction?: boolean;
    })
  | (OptionBase & {
      readonly kind: 'choice';
      readonly value: string;
      readonly of: readonly string[];
    })
  /** May be given several times. */
  | (OptionBase & { readonly kind: 'list'; readonly value: string });

export type OptionTable = Readonly<Record<string, OptionSpec>>;

type ValueOf<S extends OptionSpec> = S extends { kind: 'flag' }
  ? boolean
  : S extends { kind: 'number' }
    ? number | undefined
    : S extends { kind: 'list' }
      ? string[]
      : S extends { kind: 'choice'; of: readonly (infer C)[] }
        ? C | undefined
        : string | undefined;

export type OptionValues<T extends OptionTable> = { -readonly [K in keyof T]: ValueOf<T[K]> };

export interface ParseOptions {
  /**
   * Everything from this positional on belongs to the command to run, options included: 0 for
   * "run [options] COMMAND…", 1 for "exec [options] ID COMMAND…". Default: options may stand anywhere.
   */
  readonly commandAt?: number;
}

export interface Parsed<T extends OptionTable> {
  readonly values: OptionValues<T>;
  readonly positionals: string[];
  readonly help: boolean;
}

/**
 * Parses "--name value", "--name=value", "-n value", "-nvalue", clusters ("-it"), "--no-name" and
 * "--". Throws UsageError with the nearest known name for an option that is not in the table.
 */
export function parseOptions<T extends OptionTable>(
  table: T,
  argv: readonly string[],
  options: ParseOptions = {},
): Parsed<T> {
  const parser = new Parser(table, argv);
  parser.run(options.commandAt ?? Number.POSITIVE_INFINITY);
  return {
    values: parser.values as OptionValues<T>,
    positionals: parser.positionals,
    help: parser.help,
  };
}

class Parser {
  readonly values: Record<string, unknown> = {};
  readonly positionals: string[] = [];
  help = false;
  readonly #table: OptionTable;
  readonly #rest: string[];

  constructor(table: OptionTable, argv: readonly string[]) {
    this.#table = table;
    this.#rest = [...argv];
    for (const [name, spec] of Object.entries(table)) {
      if (spec.kind === 'flag') this.values[name] = spec.default ?? false;
      else this.values[name] = spec.kind === 'list' ? [] : undefined;
    }
  }

  run(commandAt: number): void {
    for (let word = this.#rest.shift(); word !== undefined; word = this.#rest.shift()) {
      const isOption = word.startsWith('-') && word !== '-';
      if (word === '--') {
        this.positionals.push(...this.#rest);
        return;
      }
      if (!isOption) {
        this.positionals.push(word);
        if (this.positionals.length <= commandAt) continue;
        this.positionals.push(...this.#rest);
        return;
      }
      if (word.startsWith('--')) this.#long(word);
      else this.#cluster(word);
    }
  }

  #long(word: string): void {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    const inline = equals < 0 ? undefined : word.slice(equals + 1);
    if (name === 'help') {
      this.help = true;
      return;
    }
    const spec = Object.hasOwn(this.#table, name) ? this.#table[name] : undefined;
    if (spec !== undefined) {
      this.#take(name, spec, `--${name}`, inline);
      return;
    }
    const positive = name.startsWith('no-') ? name.slice(3) : '';
    const negated = Object.hasOwn(this.#table, positive) ? this.#table[positive] : undefined;
    if (negated?.kind === 'flag' && inline === undefined) this.values[positive] = false;
    else throw this.#unknown(`--${name}`);
  }

  #cluster(word: string): void {
    for (let index = 1; index < word.length; index++) {
      const letter = word[index] ?? '';
      const entry = Object.entries(this.#table).find(([, spec]) => spec.short === letter);
      if (letter === 'h' && entry === undefined) {
        this.help = true;
        continue;
      }
      if (entry === undefined) throw this.#unknown(word.length === 2 ? word : `-${letter}`);
      const [name, spec] = entry;
      const attached = word.slice(index + 1);
      if (spec.kind === 'flag') {
        this.values[name] = true;
        continue;
      }
      this.#take(name, spec, `-${letter}`, attached === '' ? undefined : attached);
      return;
    }
  }

  #take(name: string, spec: OptionSpec, shown: string, inline: string | undefined): void {
    if (spec.kind === 'flag') {
      if (inline !== undefined) throw new UsageError(`${shown} takes no value`);
      this.values[name] = true;
      return;
    }
    const text = inline ?? this.#rest.shift();
    if (text === undefined) throw new UsageError(`${shown} needs a value: ${shown} ${spec.value}`);
    if (spec.kind === 'list') (this.values[name] as string[]).push(text);
    else this.values[name] = convert(spec, shown, text);
  }

  #unknown(shown: string): UsageError {
    const names = Object.keys(this.#table).map((name) => `--${name}`);
    const guess = nearest(shown, [...names, '--help']);
    const hint = guess === undefined ? '' : `, did you mean ${guess}?`;
    return new UsageError(`unknown option ${shown}${hint}`);
  }
}

function convert(
  spec: Exclude<OptionSpec, { kind: 'flag' | 'list' }>,
  shown: string,
  text: string,
): string | number {
  switch (spec.kind) {
    case 'text':
      return text;
    case 'choice':
      if (!spec.of.includes(text)) {
        throw new UsageError(`${shown} is one of ${spec.of.join(', ')}, not "${text}"`);
      }
      return text;
    case 'number': {
      const pattern = spec.fraction === true ? /^\d+(\.\d+)?$/ : /^\d+$/;
      const value = pattern.test(text) ? Number(text) : Number.NaN;
      if (!(value >= spec.min && value <= spec.max)) {
        const what = spec.fraction === true ? 'a number' : 'a whole number';
        throw new UsageError(`${shown} is ${what} from ${spec.min} to ${spec.max}, not "${text}"`);
      }
      return value;
    }
  }
}
