/** Every command line that people are shown is one that gcsctl takes. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { commands } from './commands.ts';
import { parseOptions } from './options.ts';

/** The words of the gcsctl command in a line of shell, up to a pipe, a redirection or a comment. */
function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/"[^"]*"|'[^']*'|\$\([^)]*\)|[^\s"']+/g)) {
    const [word] = match;
    if (/^(\||[<>]|#|;|&$)/.test(word)) break;
    words.push(word.replace(/^["']|["']$/g, ''));
    if (word.endsWith(';')) break;
  }
  return words.map((word) => word.replace(/;$/, ''));
}

/** Throws as gcsctl would. */
function parse(words: readonly string[]): void {
  const [name = '', verb = '', ...rest] = words;
  const grouped = name === 'vm' || name === 'system';
  const wanted = grouped ? `${name} ${verb}` : name;
  if (wanted === 'help' || name.startsWith('--')) return;
  const command = commands.find(
    (each) => each.name === wanted || each.aliases?.includes(wanted) === true,
  );
  if (command === undefined) throw new Error(`no command ${wanted}`);
  const argv = grouped ? rest : words.slice(1);
  const { commandAt } = command;
  parseOptions(command.options, argv, commandAt === undefined ? {} : { commandAt });
}

describe('every example', () => {
  const examples = commands.flatMap((command) => command.examples.map(([text]) => text));

  it.each(examples)('gcsctl %s', (text) => {
    expect(() => parse(wordsOf(text))).not.toThrow();
  });

  it('is one of its own command', () => {
    for (const { name, examples: own } of commands) {
      for (const [text] of own) expect(`${text} `.startsWith(`${name} `), text).toBe(true);
    }
  });
});

describe('every line of gcsctl in the documents', () => {
  const lines = ['README.md', 'vm-image/README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].flatMap(
    (file) => {
      const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
      return text
        .split('\n')
        .filter((line) => /^\s{4,}(\$ )?(bin\/)?gcsctl /.test(line))
        .map((line) => line.trim().replace(/^(\$ )?(bin\/)?gcsctl /, ''));
    },
  );

  it('is found', () => {
    expect(lines.length).toBeGreaterThan(10);
  });

  it.each([...new Set(lines)])('gcsctl %s', (line) => {
    expect(() => parse(wordsOf(line))).not.toThrow();
  });
});

it('a line that is wrong would be found', () => {
  expect(() => parse(wordsOf('ps --nope | wc'))).toThrow('unknown option --nope');
  expect(() => parse(wordsOf('frobnicate x'))).toThrow('no command');
  expect(wordsOf('run -i -- wc -c < file # comment')).toEqual(['run', '-i', '--', 'wc', '-c']);
});
