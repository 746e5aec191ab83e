import { describe, expect, it } from 'vitest';
import { parseList, parsePids, parseState } from './output.ts';

const row = {
  ociVersion: '1.0.2',
  id: 'a',
  pid: 7,
  status: 'running',
  bundle: '/b',
  created: '2026-11-22T00:20:04.143524691Z',
  owner: 'root',
};

describe('what a runtime prints', () => {
  it('is read field by field', () => {
    const { ociVersion: _, owner: __, ...state } = row;
    expect(parseState(JSON.stringify(row))).toEqual(state);
    expect(parseList(JSON.stringify([row]))).toEqual([state]);
    expect(parsePids('[1, 22]\n')).toEqual([1, 22]);
  });

  it('has no pid when the container has stopped', () => {
    expect(parseState(JSON.stringify({ ...row, pid: undefined, status: 'stopped' })).pid).toBe(0);
  });

  it('may say null or nothing for an empty list', () => {
    expect(parseList('null')).toEqual([]);
    expect(parsePids('null\n')).toEqual([]);
    expect(parseList('[\n\n]\n')).toEqual([]);
  });

  it.each([
    '',
    '{}',
    '7',
    '[{}]',
    '[null]',
    '[{"id":"a","status":"odd","bundle":"/"}]',
  ])('is refused when it is %j', (output) => {
    expect(() => parseList(output)).toThrow();
  });

  it.each(['[0]', '[-1]', '["1"]', '[1.5]'])('has no pid %s', (output) => {
    expect(() => parsePids(output)).toThrow(/pid/);
  });
});
