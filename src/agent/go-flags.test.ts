import { expect, test } from 'vitest';
import { parseAgentFlags, usage } from './flags.ts';
import { FlagError } from './go-flags.ts';

test('the command line that hosts use is understood', () => {
  expect(
    parseAgentFlags(
      '-v4 -log-format json -loglevel debug -disable-time-sync --scrub-logs=false'.split(' '),
    ),
  ).toMatchObject({
    v4: true,
    'log-format': 'json',
    loglevel: 'debug',
    'disable-time-sync': true,
    'scrub-logs': false,
  });
});

test('one dash or two, value apart or after "="', () => {
  for (const args of [['-loglevel=info'], ['--loglevel', 'info'], ['--loglevel=info']]) {
    expect(parseAgentFlags(args)).toMatchObject({ loglevel: 'info' });
  }
  expect(parseAgentFlags(['-root-mem-reserve-bytes', '0x100'])).toMatchObject({
    'root-mem-reserve-bytes': 256,
  });
});

test.each([
  [['-nope'], 'flag provided but not defined: -nope'],
  [['-loglevel'], 'flag needs an argument: -loglevel'],
  [['-v4=maybe'], 'invalid boolean value "maybe" for -v4'],
  [['-kmsgLogLevel', '-1'], 'invalid value "-1" for -kmsgLogLevel'],
  [['-constructor'], 'flag provided but not defined: -constructor'],
  [['run'], 'unexpected argument "run"'],
])('%j is refused: %s', (args, message) => {
  expect(() => parseAgentFlags(args)).toThrow(FlagError);
  expect(() => parseAgentFlags(args)).toThrow(message);
});

test('help is asked for in every usual way and names every flag', () => {
  for (const flag of ['-h', '-help', '--help']) expect(parseAgentFlags([flag])).toBe('help');
  expect(usage).toContain('-transport KIND');
  expect(usage).toContain('-listen');
});
