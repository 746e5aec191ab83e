import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readBundle } from './bundle.ts';

let bundle: string;
beforeEach(() => {
  bundle = mkdtempSync('/tmp/bundle-');
});
afterEach(() => rmSync(bundle, { recursive: true }));

function read(spec: unknown): ReturnType<typeof readBundle> {
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
  return readBundle(bundle);
}

it.each([
  ['no namespaces', {}, false],
  ['no pid entry', { namespaces: [{ type: 'mount' }] }, false],
  ['an entry without a path', { namespaces: [{ type: 'mount' }, { type: 'pid' }] }, true],
  ['an entry with an empty path', { namespaces: [{ type: 'pid', path: '' }] }, true],
  ['an entry with a path', { namespaces: [{ type: 'pid', path: '/proc/1/ns/pid' }] }, false],
])('says whether the pid namespace is its own: %s', (_, linux, owns) => {
  expect(read({ linux }).ownsPidNamespace).toBe(owns);
});

it.each([
  ['no namespaces', {}, false],
  ['others', { namespaces: [{ type: 'pid' }, { type: 'ipc' }] }, false],
  ['one of its own', { namespaces: [{ type: 'mount' }] }, true],
  ['one to join', { namespaces: [{ type: 'mount', path: '/proc/1/ns/mnt' }] }, true],
  [
    'one with a private root',
    { namespaces: [{ type: 'mount' }], rootfsPropagation: 'rprivate' },
    false,
  ],
  [
    'one with a shared root',
    { namespaces: [{ type: 'mount' }], rootfsPropagation: 'shared' },
    true,
  ],
])('says whether its root may be moved: %s', (_, linux, may) => {
  expect(read({ linux }).canMoveRoot).toBe(may);
});

it.each([
  [{}, false],
  [{ poststart: [] }, false],
  [{ prestart: [{ path: '/x' }] }, false],
  [{ poststart: [{ path: '/x' }] }, true],
])('says whether something runs behind the start: %j', (hooks, has) => {
  expect(read({ hooks }).hasPoststartHooks).toBe(has);
});

it('has defaults for what a spec leaves out', () => {
  expect(read({})).toEqual({
    rootfs: undefined,
    cwd: '/',
    terminal: false,
    ownsPidNamespace: false,
    canMoveRoot: false,
    hasPoststartHooks: false,
    memoryLimit: undefined,
  });
});

it('reads what is there', () => {
  const spec = {
    process: { cwd: '/w', terminal: true },
    root: { path: 'rootfs' },
    linux: { resources: { memory: { limit: 4096 } } },
  };
  expect(read(spec)).toMatchObject({
    rootfs: join(bundle, 'rootfs'),
    cwd: '/w',
    terminal: true,
    memoryLimit: 4096,
  });
  expect(read({ root: { path: '/elsewhere' } }).rootfs).toBe('/elsewhere');
});

it.each([null, 7, 'text'])('refuses a spec that is %j', (spec) => {
  expect(() => read(spec)).toThrow(SyntaxError);
});
