import { describe, expect, test } from 'vitest';
import { type ImageProcess, mergeProcess, parseConfig } from './config.ts';

const image: ImageProcess = {
  entrypoint: ['/entry'],
  command: ['a', 'b'],
  env: ['PATH=/bin', 'A=1', 'B=2'],
  workingDir: '/srv',
  user: 'web',
  stopSignal: 'SIGQUIT',
};
const nothing = { command: [], env: [] };

describe('the command line over the image', () => {
  test.each([
    ['nothing', {}, ['/entry', 'a', 'b']],
    ['a command', { command: ['c'] }, ['/entry', 'c']],
    ['an entry point', { entrypoint: '/other' }, ['/other']],
    ['both', { entrypoint: '/other', command: ['c'] }, ['/other', 'c']],
    ['no entry point', { entrypoint: '', command: ['c'] }, ['c']],
    ['no entry point and nothing else', { entrypoint: '' }, []],
  ])('%s', (_, request, args) => {
    expect(mergeProcess(image, { ...nothing, ...request }).args).toEqual(args);
  });

  test('variables take the place of those of the same name', () => {
    const { env } = mergeProcess(image, { command: [], env: ['A=mine', 'C=new', 'C=newer'] });
    expect(env).toEqual(['PATH=/bin', 'A=mine', 'B=2', 'C=newer']);
  });

  test('user and directory of the image, unless told otherwise', () => {
    expect(mergeProcess(image, nothing)).toMatchObject({
      ...{ workingDir: '/srv', user: 'web', stopSignal: 'SIGQUIT' },
    });
    const own = mergeProcess(image, { ...nothing, workingDir: 'x', user: '0' });
    expect(own).toMatchObject({ workingDir: '/x', user: '0' });
    expect(mergeProcess({ ...image, workingDir: '' }, nothing).workingDir).toBe('/');
  });
});

const DIGEST = `sha256:${'a'.repeat(64)}`;

test('null stands for nothing, as Go writes it', () => {
  const config = { Entrypoint: null, Cmd: null, Env: null, User: '' };
  const parsed = parseConfig({
    os: 'linux',
    architecture: 'amd64',
    config,
    rootfs: { diff_ids: [DIGEST] },
  });
  expect(parsed.process).toMatchObject({ entrypoint: [], command: [], env: [], user: '' });
  expect(parsed.diffIds).toEqual([{ algorithm: 'sha256', hex: 'a'.repeat(64) }]);
});

test.each([
  ['no object', [], /no JSON object/],
  ['a command that is no array', { config: { Cmd: 'sh' } }, /Cmd is no array/],
  ['an argument that is no text', { config: { Cmd: [1] } }, /Cmd\[0\] is no text/],
  ['a digest of another algorithm', { rootfs: { diff_ids: ['md5:00'] } }, /no sha256 or sha512/],
  ['a digest with a path', { rootfs: { diff_ids: [`sha256:../${'a'.repeat(61)}`] } }, /no sha256/],
])('refused: %s', (_, value, message) => {
  expect(() => parseConfig(value)).toThrow(message);
});
