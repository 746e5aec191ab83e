import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { emptyAdapter } from '../../test/support/adapter-settings.ts';
import { silentLogger } from '../log/logger.ts';
import { networkLimits } from '../network/limits.ts';
import type { AdapterSettings } from '../network/settings.ts';
import { Namespaces } from './namespaces.ts';

/** On a machine where no adapter ever comes. */
function namespaces(waitMs = 60_000): Namespaces {
  const sysfs = mkdtempSync(join(tmpdir(), 'gcs-sysfs-'));
  onTestFinished(() => rmSync(sysfs, { recursive: true, force: true }));
  return new Namespaces(silentLogger, { sysfs, waitMs });
}

const adapter = (NamespaceID: string, ID: string): AdapterSettings => ({
  ...emptyAdapter,
  NamespaceID,
  ID,
  IPAddress: '10.0.0.2',
  PrefixLength: 24,
});

const codeOf = async (promise: Promise<unknown>): Promise<unknown> =>
  await promise.then(
    () => 'no error',
    (error: { code?: unknown }) => error.code,
  );

test('a namespace is one whatever the case of its id', () => {
  const all = namespaces();
  expect(() => all.get('Abc')).toThrow("namespace 'abc' not found");
  expect(all.getOrAdd('Abc')).toBe(all.get('aBC'));
});

test('an adapter with faulty settings makes no namespace', async () => {
  const all = namespaces();
  expect(await codeOf(all.add({ ...adapter('ns', 'a'), PrefixLength: 99 }))).toBe(
    'invalid-argument',
  );
  expect(() => all.get('ns')).toThrow('not found');
});

test('an adapter that does not come leaves its namespace, and may be asked for again', async () => {
  const all = namespaces(1);
  for (let round = 0; round < 2; round++) {
    expect(await codeOf(all.add(adapter('ns', 'a')))).toBe('failed');
  }
  expect(all.get('ns').unused).toBe(true);
});

test('an adapter is waited for once, and its removal ends the wait', async () => {
  const all = namespaces();
  const first = codeOf(all.add(adapter('ns', 'A')));
  await expect(all.add(adapter('NS', 'a'))).rejects.toThrow(
    "adapter with id: 'a' already present in namespace",
  );
  await all.remove({ NamespaceID: 'ns', ID: 'A' });
  expect(await first).toBe('cancelled');
});

test('more adapters than a namespace may have are refused', async () => {
  const all = namespaces();
  const adds = Array.from({ length: networkLimits.adaptersPerNamespace }, (_, index) =>
    codeOf(all.add(adapter('ns', `a${index}`))),
  );
  expect(await codeOf(all.add(adapter('ns', 'more')))).toBe('limit');
  await all.destroy();
  expect(new Set(await Promise.all(adds))).toEqual(new Set(['cancelled']));
});

test('of too many namespaces those that hold nothing are forgotten, the oldest first', async () => {
  const all = namespaces();
  const add = codeOf(all.add(adapter('used', 'a')));
  for (let index = 0; index < networkLimits.namespaces; index++) all.getOrAdd(`n${index}`);
  expect(() => all.get('n0')).toThrow('not found');
  expect(all.get('used').unused).toBe(false);
  expect(all.get('n1').id).toBe('n1');
  await all.destroy();
  expect(await add).toBe('cancelled');
});

test('removing from a namespace nobody named is no error, a faulty id is', async () => {
  const all = namespaces();
  await all.remove({ NamespaceID: 'none', ID: 'a' });
  expect(await codeOf(all.remove({ NamespaceID: 'none', ID: '../a' }))).toBe('invalid-argument');
});

test('a container that does not exist gets no adapters', async () => {
  const namespace = namespaces().getOrAdd('ns');
  const user = { pid: 0x3fffffff, exited: new Promise(() => {}), dnsChanged: () => {} };
  await expect(namespace.attach(user)).rejects.toMatchObject({ code: 'failed', errno: 'ENOENT' });
  expect(namespace.unused).toBe(true);
});
