import { expect, test } from 'vitest';
import type { Runtime } from '../runtime/runtime.ts';
import { chooseRuntime, type RuntimeCatalogue } from './runtime-catalogue.ts';

function catalogue(more: Partial<RuntimeCatalogue> = {}): RuntimeCatalogue {
  const all = new Map(
    ['runc', 'kata', 'third'].map((name) => [name, { name } as unknown as Runtime]),
  );
  return { all, trusted: 'runc', untrusted: 'kata', workloads: 'trusted', ...more };
}

// The rules of CRI-O's oci.go, one row a case.
test.each([
  ['says nothing', {}, {}, 'runc', undefined],
  ['trusted', { trust: 'trusted' }, {}, 'runc', undefined],
  ['untrusted', { trust: 'untrusted' }, {}, 'kata', undefined],
  [
    'untrusted, no runtime for it',
    { trust: 'untrusted' },
    { untrusted: undefined },
    'runc',
    undefined,
  ],
  ['untrusted and privileged', { trust: 'untrusted', privileged: true }, {}, 'runc', /privileged/],
  ['trusted and privileged', { privileged: true }, {}, 'runc', undefined],
  ['trusted on an untrusted machine', {}, { workloads: 'untrusted' }, 'kata', undefined],
  ['privileged there', { privileged: true }, { workloads: 'untrusted' }, 'runc', undefined],
  [
    'there, without a runtime for it',
    {},
    { workloads: 'untrusted', untrusted: undefined },
    'runc',
    undefined,
  ],
  ['by name', { runtime: 'third', trust: 'untrusted' }, {}, 'third', undefined],
] as const)('a container that is %s', (_what, choice, more, name, warning) => {
  const chosen = chooseRuntime(catalogue(more), choice);
  expect(chosen.runtime.name).toBe(name);
  if (warning === undefined) expect(chosen.warning).toBeUndefined();
  else expect(chosen.warning).toMatch(warning);
});

test('a runtime there is not is refused by field', () => {
  expect(() => chooseRuntime(catalogue(), { runtime: 'nope' })).toThrow(
    'runtime: there is no runtime "nope"; known: runc, kata, third',
  );
});
