import { expect, test, vi } from 'vitest';
import { annotation } from '../../src/spec/annotations.ts';
import { RAW } from '../support/raw-client.ts';
import { firstData, OutputSoFar } from '../support/raw-flows.ts';
import { type Session, spec, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

const MiB = 1024 * 1024;
const memory = { limit: 16 * MiB, swap: 16 * MiB };

async function resultInfo(s: Session, id: string): Promise<unknown> {
  const { body } = await s.notification(id);
  // A host ends the bridge over one that is not JSON in a string.
  return body.ResultInfo === undefined ? undefined : JSON.parse(body.ResultInfo as string);
}

test('the notification of a container killed for memory says so, that of another does not', () =>
  withSession(async (s) => {
    await s.create('greedy', { args: 'exec tail /dev/zero', resources: { memory } });
    const greedy = await s.startInit('greedy');
    expect((await s.finish('greedy', greedy)).exitCode).toBe(137);
    expect(await resultInfo(s, 'greedy')).toEqual({ OutOfMemory: true, MemoryKills: 1 });
    await s.delete('greedy');

    await s.create('killed', { args: ['sleep', '1000'], resources: { memory } });
    const killed = await s.startInit('killed');
    await s.signal('killed', killed.pid, 9);
    expect((await s.finish('killed', killed)).exitCode).toBe(137);
    expect(await resultInfo(s, 'killed')).toBeUndefined();
    await s.delete('killed');
  }));

test('a container that lives on is not said to have ended for memory; that it had none is seen', () =>
  withSession(async (s) => {
    await s.create('shell', {
      args: 'tail /dev/zero; echo "code $?"; read go; exit 3',
      resources: { memory },
    });
    const init = await s.startInit('shell', { stdin: true, stdout: true });
    const output = new OutputSoFar(init.stdout);
    await output.contains('code 137\n');
    await vi.waitFor(async () => {
      const { GuestStacks } = (await s.call(RAW.dumpStacks, {})).body;
      expect(GuestStacks).toMatch(/container shell running out of memory=[1-9]\d* killed=1/);
    });
    expect((await s.raw.agent.logged('out of memory')).join()).toMatch(/warning.*kills=1/);
    init.stdin?.end('go\n');
    expect(await s.wait('shell', init.pid)).toBe(3);
    init.stdin?.destroy();
    expect(await resultInfo(s, 'shell')).toBeUndefined();
    await s.delete('shell');
  }));

test('the limit of a pod ends the container that goes beyond it', () =>
  withSession(async (s) => {
    await s.create('pod', {
      args: 'echo up; exec sleep 1000',
      resources: { memory: { limit: 24 * MiB, swap: 24 * MiB } },
      annotations: { [annotation.containerType]: 'sandbox' },
    });
    const sandbox = await s.startInit('pod');
    await firstData(sandbox.stdout);
    const { hostname: _, ...greedy } = spec({
      args: 'exec tail /dev/zero',
      annotations: { [annotation.containerType]: 'container', [annotation.sandboxId]: 'pod' },
    });
    await s.createFrom('greedy', greedy);
    const init = await s.startInit('greedy');
    expect((await s.finish('greedy', init)).exitCode).toBe(137);
    expect(await resultInfo(s, 'greedy')).toEqual({ OutOfMemory: true, MemoryKills: 1 });
    await s.delete('greedy');
    // Its peer has lived through it.
    await s.killAndDelete('pod', sandbox);
    expect(await resultInfo(s, 'pod')).toBeUndefined();
  }));
