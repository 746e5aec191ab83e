/** What tests of a VM's storage share: images to be its disks, and ModifySettings. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { NULL_CONTAINER, RAW, RawFailure } from './raw-client.ts';
import { type Session, testVm, withSession } from './suite.ts';
import { VmDevices } from './vm-devices.ts';

export const MIB = 1024 * 1024;

/** Of the file on every image of ext4(). */
export const CONTENT = 'a marker that is easily found'.repeat(1000);

/** Directory of the VM the tests run on. */
export function vm(): string {
  if (testVm === undefined) throw new Error('these tests need a VM');
  return testVm;
}

/** An empty file of a size. */
export function image(directory: string, size: number): string {
  const file = join(directory, `image${Math.random().toString(36).slice(2)}`);
  writeFileSync(file, '');
  truncateSync(file, size);
  return file;
}

/** An ext4 image with one large file. */
export function ext4(directory: string, size = 8 * MIB): string {
  const source = join(directory, 'source');
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, 'file'), CONTENT);
  const file = image(directory, size);
  execFileSync('mkfs.ext4', ['-q', '-F', '-b', '4096', '-d', source, file]);
  return file;
}

async function modify(session: Session, type: string, request: string, settings: object) {
  const body = { RequestType: request, ResourceType: type, Settings: settings };
  await session.call(RAW.modifySettings, { ContainerId: NULL_CONTAINER, Request: body });
}

export const add = (session: Session, type: string, settings: object) =>
  modify(session, type, 'Add', settings);
export const remove = (session: Session, type: string, settings: object) =>
  modify(session, type, 'Remove', settings);

/** The error text that a request is answered with. */
export async function failureOf(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RawFailure);
  return (error as RawFailure).message;
}

/** Nothing of the device mapper and nothing mounted is left. */
export async function expectClean(session: Session): Promise<void> {
  const left = await session.uvmSh(
    'ls /sys/block | grep ^dm- ; grep /run/mounts /proc/mounts; ls /run/mounts 2>/dev/null; true',
  );
  expect(left).toBe('');
}

export function withDevices(
  body: (session: Session, devices: VmDevices) => Promise<void>,
): Promise<void> {
  return withSession(async (session) => {
    await using devices = await VmDevices.open(vm());
    await body(session, devices);
    await expectClean(session);
  });
}
