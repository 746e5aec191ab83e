/** gcsctl --vm through the management door, across the device. */
import { expect, test } from 'vitest';
import { testVm } from '../support/suite.ts';
import { vmDirectoryOf } from '../support/vm-agent.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');
const slow = vmDirectoryOf(vm).requireRunning().acceleration === 'tcg';

if (slow && process.env.GCS_TEST_LONG === undefined) {
  test.skip('hundreds of commands on an interpreted processor: only with KVM, or GCS_TEST_LONG=1', () => {});
} else {
  await import('../integration/gcsctl-door.test.ts');
}
