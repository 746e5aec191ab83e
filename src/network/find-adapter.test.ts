import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { AgentError } from '../errors.ts';
import { findAdapter } from './find-adapter.ts';

const id = '0badcafe-0000-4000-8000-000000000001';
const sought = { id, mac: undefined, vpciAssigned: false };

/** A sysfs with these directories; the only link that every machine has is called lo. */
function sysfs(...directories: string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'gcs-sysfs-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const directory of directories) mkdirSync(join(root, directory), { recursive: true });
  return root;
}

const find = (root: string, more: Partial<typeof sought> = {}, signal?: AbortSignal) =>
  findAdapter(
    { ...sought, ...more },
    { sysfs: root, waitMs: 20, ...(signal === undefined ? {} : { signal }) },
  );

test.each([
  ['the guid of its vmbus device', `bus/vmbus/devices/${id}/net/lo`, id],
  ['its PCI address', 'bus/pci/devices/0000:00:03.0/net/lo', '0000:00:03.0'],
  [
    'the PCI address of its virtio device',
    'bus/pci/devices/0000:00:03.0/virtio0/net/lo',
    '0000:00:03.0',
  ],
])('an adapter is found by %s', async (_name, directory, name) => {
  expect(await find(sysfs(directory), { id: name })).toMatchObject({ name: 'lo', loopback: true });
});

test('an assigned PCI device is found on the bus that its vmbus device carries', async () => {
  const bus = `bus/vmbus/devices/${id}/pci1a2b:00`;
  const root = sysfs(`${bus}/1a2b:00:02.0/net/lo`, `${bus}/power`);
  expect(await find(root, { vpciAssigned: true })).toMatchObject({ name: 'lo' });
  await expect(find(root)).rejects.toThrow('/net to exist');
});

test('links of sysfs are followed, as those of a real one are', async () => {
  const root = sysfs('devices/x/net/lo', 'bus/vmbus/devices');
  symlinkSync(join(root, 'devices/x'), join(root, 'bus/vmbus/devices', id));
  expect(await find(root)).toMatchObject({ name: 'lo' });
});

test('a device with two links is refused', async () => {
  const root = sysfs(`bus/vmbus/devices/${id}/net/lo`, `bus/vmbus/devices/${id}/net/other`);
  await expect(find(root)).rejects.toThrow(`multiple interface names found for adapter ${id}`);
});

test('a name in sysfs without a link of this namespace is waited for', async () => {
  const root = sysfs(`bus/vmbus/devices/${id}/net/gone0`);
  const error: unknown = await find(root).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(AgentError);
  expect(error).toMatchObject({
    code: 'failed',
    message: `failed to find adapter ${id} sysfs path: timed out waiting for file matching pattern ${root}/bus/vmbus/devices/${id}/net to exist: context deadline exceeded`,
  });
});

test('the loopback is no adapter, whatever hardware address is asked for', async () => {
  await expect(find(sysfs(), { mac: new Uint8Array(6) } as object)).rejects.toThrow('timed out');
});

test('a wait ends with its signal, also one that came before', async () => {
  const end = new AbortController();
  const waiting = findAdapter(sought, { sysfs: sysfs(), waitMs: 60_000, signal: end.signal });
  end.abort(new AgentError('cancelled', 'not wanted any more'));
  await expect(waiting).rejects.toThrow('not wanted any more');
  await expect(find(sysfs(), {}, end.signal)).rejects.toThrow('not wanted any more');
});
