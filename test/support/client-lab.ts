/** A real agent, isolated, with the SDK as its host; and a root file system both can see. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import {
  defaultSpec,
  EmulatedHost,
  GuestClient,
  type SpecOptions,
} from '../../src/client/index.ts';
import { AgentProcess } from './agent-process.ts';
import { assertNothingLeft, takeCensus } from './census.ts';
import { makeRootfs } from './rootfs.ts';

let rootfs = '';

/** Makes the root file system for the tests of a file; to be called at its top level. */
export function useClientRootfs(): () => string {
  beforeAll(() => {
    rootfs = makeRootfs(mkdtempSync(join(tmpdir(), 'gcs-rootfs-')));
    // Users of the container other than root have to reach it.
    chmodSync(rootfs, 0o755);
  });
  afterAll(() => rmSync(rootfs, { recursive: true, force: true }));
  return () => rootfs;
}

/** What createContainer takes, for a shell script. */
export function shell(id: string, script: string, options: Partial<SpecOptions> = {}) {
  const spec = defaultSpec({ args: ['sh', '-c', script], rootfs, ...options });
  return { id, bundle: `/run/gcs/c/${id}`, spec };
}

export interface ClientLab {
  readonly agent: AgentProcess;
  readonly guest: GuestClient;
}

/** Runs `body` with an agent and a client; afterwards nothing may be left in either. */
export async function withGuest(body: (lab: ClientLab) => Promise<void>): Promise<void> {
  const outside = takeCensus({ cgroups: [] });
  {
    await using agent = new AgentProcess();
    await using host = new EmulatedHost(agent.path);
    await using guest = await agent.orExit(GuestClient.accept(host, { timeoutMs: 30_000 }));
    const before = takeCensus({ agent, directories: [agent.directory] });
    try {
      await body({ agent, guest });
    } catch (error) {
      if (error instanceof Error) error.message += `\n(log of the agent:\n${agent.log})`;
      throw error;
    }
    // A strict host: whatever the agent did wrong on the way has ended the bridge.
    if (guest.failure !== undefined && guest.failure.code !== 'lost') throw guest.failure;
    if (agent.running) await assertNothingLeft(before);
  }
  await assertNothingLeft(outside);
}
