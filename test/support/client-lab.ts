/** A real agent, isolated, with the SDK as its host; and a root file system both can see. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { ConnectOptions } from '../../src/client/guest.ts';
import {
  defaultSpec,
  EmulatedHost,
  GuestClient,
  type SpecOptions,
} from '../../src/client/index.ts';
import { AgentProcess, type TestedAgent } from './agent-process.ts';
import { assertNothingLeft, type Census, takeCensus } from './census.ts';
import { makeRootfs } from './rootfs.ts';
import { testVm } from './suite.ts';
import {
  GUEST_ROOTFS,
  leavingNothingIn,
  useGuestRootfs,
  VmAgent,
  vmDirectoryOf,
} from './vm-agent.ts';

let rootfs = '';

/** Makes the root file system for the tests of a file; to be called at its top level. */
export function useClientRootfs(): () => string {
  beforeAll(async () => {
    if (testVm !== undefined) {
      await useGuestRootfs(testVm);
      rootfs = GUEST_ROOTFS;
      return;
    }
    rootfs = makeRootfs(mkdtempSync(join(tmpdir(), 'gcs-rootfs-')));
  });
  afterAll(() => {
    if (testVm === undefined) rmSync(rootfs, { recursive: true, force: true });
  });
  return () => rootfs;
}

/** What createContainer takes, for a shell script. */
export function shell(id: string, script: string, options: Partial<SpecOptions> = {}) {
  const spec = defaultSpec({ args: ['sh', '-c', script], rootfs, ...options });
  return { id, bundle: `/run/gcs/c/${id}`, spec };
}

/** The host's side of an agent: a fresh one, or that of the VM. */
export interface ClientLab {
  /** Connects as the agent's next host. */
  accept(options?: ConnectOptions): Promise<GuestClient>;
  /** Fails when the agent is gone for good. */
  readonly orExit: TestedAgent['orExit'];
}

export interface GuestLab extends ClientLab {
  readonly guest: GuestClient;
}

const PATIENCE = { timeoutMs: 30_000 };

/** Runs `body` with an agent to connect to; afterwards nothing may be left in either. */
export async function withHost(body: (lab: ClientLab) => Promise<void>): Promise<void> {
  if (testVm !== undefined) return withVmHost(testVm, body);
  const outside = takeCensus({ cgroups: [] });
  {
    await using agent = new AgentProcess();
    await using host = new EmulatedHost(agent.path);
    const orExit = <T>(promise: Promise<T>): Promise<T> => agent.orExit(promise);
    let before: Census | undefined;
    const accept = async (options?: ConnectOptions): Promise<GuestClient> => {
      const guest = await orExit(GuestClient.accept(host, { ...PATIENCE, ...options }));
      if (before === undefined) {
        // What serves requests is loaded with the first of them.
        await orExit(guest.dumpStacks());
        before = takeCensus({ agent, directories: [agent.directory] });
      }
      return guest;
    };
    try {
      await body({ accept, orExit });
    } catch (error) {
      if (error instanceof Error) error.message += `\n(log of the agent:\n${agent.log})`;
      throw error;
    }
    if (before !== undefined && agent.running) await assertNothingLeft(before);
  }
  await assertNothingLeft(outside);
}

function withVmHost(vm: string, body: (lab: ClientLab) => Promise<void>): Promise<void> {
  return leavingNothingIn(vm, async () => {
    const directory = vmDirectoryOf(vm);
    await using host = new EmulatedHost(directory.vsock);
    const agent = new VmAgent(directory);
    const accept = (options?: ConnectOptions): Promise<GuestClient> =>
      GuestClient.accept(host, { ...PATIENCE, takesOver: true, ...options });
    await body({ accept, orExit: (promise) => agent.orExit(promise) });
  });
}

/** The same with a client that has negotiated; it is closed before what is left is counted. */
export function withGuest(body: (lab: GuestLab) => Promise<void>): Promise<void> {
  return withHost(async (lab) => {
    await using guest = await lab.accept();
    await body({ ...lab, guest });
    // A strict host: whatever the agent did wrong on the way has ended the bridge.
    if (guest.failure !== undefined && guest.failure.code !== 'lost') throw guest.failure;
  });
}
