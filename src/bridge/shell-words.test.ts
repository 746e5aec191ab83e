import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AgentError } from '../errors.ts';
import { splitShellWords } from './shell-words.ts';

test.each([
  ['', []],
  [' \t\n ', []],
  ['ls', ['ls']],
  ['  ls   -l\t/tmp\n', ['ls', '-l', '/tmp']],
  [`sh -c 'echo "a b"'`, ['sh', '-c', 'echo "a b"']],
  [`a"b c"d`, ['ab cd']],
  [`a'b c'"d e"f`, ['ab cd ef']],
  [`'' ""`, ['', '']],
  [`a\\ b c`, ['a b', 'c']],
  [`\\'a\\"`, [`'a"`]],
  [`"a\\"b\\\\c\\$d\\e"`, ['a"b\\c$d\\e']],
  [`'a\\b'`, ['a\\b']],
  ['a\\\nb "c\\\nd"', ['ab', 'cd']],
  ['\\\n', []],
  ['$HOME *.c # x | y', ['$HOME', '*.c', '#', 'x', '|', 'y']],
])('%j', (line, words) => {
  expect(splitShellWords(line, 'CommandLine')).toEqual(words);
});

test.each([
  `'a`,
  `"a`,
  `a\\`,
  `"a\\"`,
  `x "y' z`,
])('%j is open: an error that names the field', (line) => {
  expect(() => splitShellWords(line, 'CommandLine')).toThrow(
    expect.objectContaining({ name: 'AgentError', code: 'invalid-argument', field: 'CommandLine' }),
  );
});

test('quoted words come back as they were', () => {
  const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (words) => {
      expect(splitShellWords(words.map(quote).join(' '), 'CommandLine')).toEqual(words);
    }),
  );
});

test('any line is split or refused', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', ' ', "'", '"', '\\', '\n') }), (line) => {
      try {
        splitShellWords(line, 'CommandLine');
      } catch (error) {
        expect(error).toBeInstanceOf(AgentError);
      }
    }),
  );
});
