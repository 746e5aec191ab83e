import { describe, expect, test } from 'vitest';
import { signalName, signalNumber } from './signals.ts';

describe('signal names', () => {
  test.each([
    ['SIGTERM', 15],
    ['TERM', 15],
    ['term', 15],
    ['15', 15],
    ['SIGIOT', 6],
    ['64', 64],
    ['RTMIN', 34],
    ['SIGRTMIN', 34],
    ['RTMIN+3', 37],
    ['SIGRTMAX-1', 63],
    ['RTMAX', 64],
    ['SIGRTMAX', 64],
  ])('%s is %d', (name, number) => {
    expect(signalNumber(name)).toBe(number);
  });

  test.each([
    '',
    '0',
    '65',
    '-1',
    '1.5',
    'SIG',
    'SIGNOPE',
    'RTMIN+31',
    'RTMAX+1',
    'RTMAX-31',
    'SIGSIGTERM',
    ' TERM',
    'SIG15',
  ])('"%s" is none', (name) => {
    expect(signalNumber(name)).toBeUndefined();
  });

  test('every number from 1 to 64 that has a name finds its way back', () => {
    for (let number = 1; number <= 64; number++) {
      const name = signalName(number);
      if (number === 32 || number === 33) expect(name).toBe(`signal ${number}`);
      else expect(signalNumber(name)).toBe(number);
    }
    expect(signalName(6)).toBe('SIGABRT');
  });
});
