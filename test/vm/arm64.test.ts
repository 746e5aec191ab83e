/** The image of the other processor, interpreted. It takes a cross compiler and minutes: on request. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { makeSpec } from '../support/bundle.ts';
import { Session } from '../support/suite.ts';
import { GUEST_ROOTFS, inGuest, openVm } from '../support/vm-agent.ts';
import { VmLab } from '../support/vm-command.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const WANTED = process.env.GCS_TEST_ARM64 !== undefined && process.arch !== 'arm64';

test('arm64 boots, negotiates and runs a container', { timeout: 1_800_000 }, async (context) => {
  if (!WANTED) context.skip('GCS_TEST_ARM64=1 builds and boots it: vm-image/README.md');
  const build = [join(ROOT, 'vm-image/build.ts'), '--arch', 'arm64'];
  execFileSync(process.execPath, build, { stdio: ['ignore', 2, 2] });
  await using lab = new VmLab();
  const image = ['--image', join(ROOT, 'build/vm/arm64'), '--timeout', '600'];
  const up = await lab.run('vm', 'up', '--name', 'arm', ...image, '--', '-loglevel', 'info');
  expect(up.stderr).toContain('agent: negotiated');
  const { path } = lab.directory('arm');
  expect(await inGuest(path, 'uname -m')).toBe('aarch64\n');
  // The guest's own busybox: this machine's is for another processor.
  await inGuest(
    path,
    `cd / && mkdir -p ${GUEST_ROOTFS}/bin ${GUEST_ROOTFS}/proc ${GUEST_ROOTFS}/dev ${GUEST_ROOTFS}/sys
    cp /usr/bin/busybox ${GUEST_ROOTFS}/bin/ && ln -s busybox ${GUEST_ROOTFS}/bin/sh`,
  );
  await using raw = await openVm(path);
  const session = new Session(raw);
  await session.createFrom('c', makeSpec({ rootPath: GUEST_ROOTFS, args: ['sh', '-c', 'exit 7'] }));
  const init = await session.startInit('c');
  expect((await session.finish('c', init)).exitCode).toBe(7);
  await session.delete('c');
});
