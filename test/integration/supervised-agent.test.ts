/** The real agent under the supervisor: how both end, and how often one is back. */
import { expect, test } from 'vitest';
import { NULL_CONTAINER, RAW } from '../support/raw-client.ts';
import { useRootfs } from '../support/suite.ts';
import { withSupervised } from '../support/supervised-agent.ts';

useRootfs();

test('killed again and again it is started at once each time, for it had been of use', async () => {
  await withSupervised({}, async ({ supervised }) => {
    for (let kill = 1; kill <= 6; kill++) await supervised.replace();
    const pauses = [...supervised.log.matchAll(/init: .* ended, signal 9, again in (\d+) ms/g)];
    expect(pauses.map(([, pause]) => pause)).toEqual(Array(6).fill('0'));
  });
});

test('the host’s shutdown ends the agent and its supervisor, and no machine', async () => {
  await withSupervised({ mayEnd: true }, async ({ supervised }) => {
    supervised.bridge.call(RAW.shutdownForced, { ContainerId: NULL_CONTAINER }).catch(() => {});
    expect(await supervised.end()).toEqual({ code: 0, signal: null });
    expect(supervised.log).toMatch(/init: .* ended, exit code 0/);
    expect(supervised.log).not.toMatch(/poweroff|going down|started.*started/);
  });
});

test('a supervisor that is told to end lets the agent end its containers', async () => {
  await withSupervised({ mayEnd: true }, async (session) => {
    const { supervised } = session;
    await session.create('c', { args: ['sleep', '1000'] });
    const { pid } = await session.startInit('c', {});
    expect(supervised.outerPid(pid)).toBeGreaterThan(0);
    process.kill(supervised.supervisorPid, 'SIGTERM');
    expect(await supervised.end()).toEqual({ code: 0, signal: null });
    expect(supervised.log).toContain('agent ends');
  });
});
