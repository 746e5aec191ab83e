import { expect, test } from 'vitest';
import { silentLogger } from '../log/logger.ts';
import type { Reaper } from '../os/reaper.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { defaultDrainPolicy } from '../stdio/limits.ts';
import { DevNullTransport } from '../vsock/dev-null.ts';
import { uvmLimits } from './limits.ts';
import { Uvm } from './uvm.ts';

/** Specs without a process are refused, so no create gets as far as its runtime. */
const unused = {} as unknown;

test('a create beyond the limit of containers is refused, those before it are not', async () => {
  await using transport = new DevNullTransport();
  const uvm = new Uvm({
    runtime: unused as Runtime,
    transport,
    reaper: unused as Reaper,
    logger: silentLogger,
    drainPolicy: defaultDrainPolicy,
    power: { shutdown: () => Promise.resolve() },
  });
  const creates = Array.from({ length: uvmLimits.containers + 1 }, (_, n) =>
    uvm.createContainer({ id: `c${n}`, bundle: `/run/gcs/c/c${n}`, spec: {} }),
  );
  const outcomes = await Promise.allSettled(creates);
  const codes = outcomes.map((o) => (o.status === 'rejected' ? o.reason.code : 'created'));
  expect(codes.at(-1)).toBe('limit');
  expect(codes.slice(0, -1)).not.toContain('limit');
});
