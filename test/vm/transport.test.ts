/** The transport compliance suite inside the guest, over its own AF_VSOCK loopback. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectGuestSuite } from '../support/guest-runner/run.ts';
import { testVm } from '../support/suite.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');
const SUPPORT = join(import.meta.dirname, '../support');
/** A whole GiB each way takes four minutes on an emulated processor. */
const MIB_PER_GIB = process.env.GCS_TEST_GIB_MIB ?? '48';

test('AF_VSOCK keeps what every transport promises', { timeout: 600_000 }, async () => {
  await expectGuestSuite(vm, {
    entries: {
      suite: join(SUPPORT, 'guest-runner/compliance.ts'),
      peer: join(SUPPORT, 'transport-peer.ts'),
    },
    env: { GCS_TEST_GIB_MIB: MIB_PER_GIB },
    // Of 25 cases.
    atLeast: 20,
  });
});
