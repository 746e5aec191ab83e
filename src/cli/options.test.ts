import { describe, expect, it } from 'vitest';
import { nearest } from './nearest.ts';
import { type OptionTable, parseOptions } from './options.ts';

const table = {
  tty: { kind: 'flag', short: 't', help: '' },
  interactive: { kind: 'flag', short: 'i', help: '' },
  rm: { kind: 'flag', default: true, help: '' },
  name: { kind: 'text', short: 'n', value: 'NAME', help: '' },
  env: { kind: 'list', short: 'e', value: 'VAR', help: '' },
  cpus: { kind: 'number', value: 'N', min: 0.5, max: 8, fraction: true, help: '' },
  pids: { kind: 'number', value: 'N', min: 1, max: 100, help: '' },
  network: { kind: 'choice', value: 'KIND', of: ['none', 'host'], help: '' },
} as const satisfies OptionTable;

const parse = (line: string, commandAt?: number) =>
  parseOptions(
    table,
    line === '' ? [] : line.split(' '),
    commandAt === undefined ? {} : { commandAt },
  );

describe('options', () => {
  it('have their defaults when nothing is given', () => {
    expect(parse('').values).toEqual({
      tty: false,
      interactive: false,
      rm: true,
      name: undefined,
      env: [],
      cpus: undefined,
      pids: undefined,
      network: undefined,
    });
  });

  it.each(['--name web', '--name=web', '-n web', '-nweb'])('take a value as in %s', (line) => {
    expect(parse(line).values.name).toBe('web');
  });

  it('may have an empty value or one that looks like an option', () => {
    expect(parseOptions(table, ['--name=', '--env', '--x']).values).toMatchObject({
      name: '',
      env: ['--x'],
    });
  });

  it('are clustered by their letters, the last of which may take a value', () => {
    expect(parse('-itn web -e A=1 -eB=2').values).toMatchObject({
      interactive: true,
      tty: true,
      name: 'web',
      env: ['A=1', 'B=2'],
    });
  });

  it('are switched off by --no-', () => {
    expect(parse('--no-rm').values.rm).toBe(false);
  });

  it('may stand behind positionals, unless those are a command', () => {
    expect(parse('web --tty')).toMatchObject({ positionals: ['web'], values: { tty: true } });
    expect(parse('-i sh --tty -x', 0)).toMatchObject({
      positionals: ['sh', '--tty', '-x'],
      values: { tty: false, interactive: true },
    });
    expect(parse('-i web -t sh -c x --rm', 1)).toMatchObject({
      positionals: ['web', 'sh', '-c', 'x', '--rm'],
      values: { tty: true, interactive: true },
    });
  });

  it('end at --, which is no argument itself', () => {
    expect(parse('-t -- --help').positionals).toEqual(['--help']);
    expect(parse('web -- sh -- x', 1).positionals).toEqual(['web', 'sh', '--', 'x']);
    expect(parse('sh -- x', 0).positionals).toEqual(['sh', '--', 'x']);
  });

  it('take a lone dash for an argument', () => {
    expect(parse('-').positionals).toEqual(['-']);
  });

  it.each(['--help', '-h', '-th', 'web --help'])('ask for help with %s', (line) => {
    expect(parse(line).help).toBe(true);
  });

  it.each([
    ['--intractive', 'unknown option --intractive, did you mean --interactive?'],
    ['--net host', 'unknown option --net, did you mean --network?'],
    ['--frobnicate', 'unknown option --frobnicate'],
    ['--no-name', 'unknown option --no-name'],
    ['-x', 'unknown option -x'],
    ['-tx', 'unknown option -x'],
    ['--__proto__', 'unknown option --__proto__'],
    ['--tty=yes', '--tty takes no value'],
    ['--name', '--name needs a value: --name NAME'],
    ['--cpus 9', '--cpus is a number from 0.5 to 8, not "9"'],
    ['--cpus 1e0', '--cpus is a number from 0.5 to 8, not "1e0"'],
    ['--pids 1.5', '--pids is a whole number from 1 to 100, not "1.5"'],
    ['--pids -1', '--pids is a whole number from 1 to 100, not "-1"'],
    ['--network own', '--network is one of none, host, not "own"'],
  ])('refuse %s', (line, message) => {
    expect(() => parse(line)).toThrow(expect.objectContaining({ name: 'UsageError', message }));
  });
});

describe('the nearest word', () => {
  it.each([
    ['statr', 'start'],
    ['strat', 'start'],
    ['dele', 'delete'],
    ['sto', undefined],
    ['frobnicate', undefined],
  ])('to %s is %s', (word, expected) => {
    expect(nearest(word, ['start', 'stats', 'delete', 'run'])).toBe(expected);
  });
});
