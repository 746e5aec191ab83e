import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { native } from './native.ts';

function load(path: string): string {
  const source = `
    import { native } from '${import.meta.dirname}/native.ts';
    try { native(); } catch (error) { console.log(error.message); }`;
  return spawnSync(process.execPath, ['--input-type=module-typescript', '-e', source], {
    encoding: 'utf8',
    env: { ...process.env, GCS_NATIVE: path },
  }).stdout;
}

test('an addon that cannot be loaded is an error with the remedy', () => {
  expect(load('/does/not/exist.node')).toContain('npm run build');
  expect(load('/etc/passwd')).toContain('npm run build');
});

test('GCS_NATIVE overrides where the addon is', () => {
  expect(load('')).toBe('');
});

test('a missing or wrong argument throws instead of meaning descriptor 0', () => {
  const raw = native() as unknown as Record<string, (...args: unknown[]) => unknown>;
  expect(() => raw.close?.()).toThrow(TypeError);
  expect(() => raw.close?.('1')).toThrow(TypeError);
  expect(() => raw.bindUnix?.(1, undefined)).toThrow(TypeError);
  expect(() => raw.socketPair?.(new Int32Array(1))).toThrow(TypeError);
  expect(() => raw.socketPair?.(new Uint8Array(8))).toThrow(TypeError);
  expect(() => raw.spawn?.('x', '', ['a', 1], [], new Int32Array(0))).toThrow(TypeError);
  expect(() => raw.pollClose?.({})).toThrow(TypeError);
});
