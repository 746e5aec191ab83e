/** The agent of a VM that many tests share: each connects as its next host. */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VmDirectory } from '../../src/vm/directory.ts';
import type { TestedAgent } from './agent-process.ts';
import { assertNothingLeft, type Counts, leftoverCounts, takeCensus } from './census.ts';
import { assertNothingLeftInGuest, type GuestShell, takeGuestCensus } from './guest-census.ts';
import { NULL_CONTAINER, type RawBridge, RawHost } from './raw-client.ts';
import { execInUvm, finish, negotiate } from './raw-flows.ts';
import { makeRootfs } from './rootfs.ts';

/** Where test containers have their root in the guest. */
export const GUEST_ROOTFS = '/run/gcs-test/rootfs';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** For the last lines of the log to come over their own connection. */
const LOG_MS = 10_000;

const CLEAN_SLATE = `for c in $(runc list -q); do runc delete -f "$c"; done
rm -rf /run/gcsrunc/* /run/gcs/c/* /run/gcs/b/*; rm -rf /run/gcs/state/[cp]; kill -9 $PPID`;

export interface VmSession extends AsyncDisposable {
  readonly agent: VmAgent;
  readonly host: RawHost;
  readonly bridge: RawBridge;
}

/** What the tests ask of an agent, of the one in the VM. */
export class VmAgent implements TestedAgent {
  readonly #directory: VmDirectory;
  readonly #logStart: number;

  constructor(directory: VmDirectory) {
    this.#directory = directory;
    this.#logStart = statSync(directory.agentLog, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Resolves like `promise`; fails when the VM has ended. */
  async orExit<T>(promise: Promise<T>): Promise<T> {
    this.#directory.requireRunning();
    return await promise;
  }

  /** The log since this test's beginning. */
  async log(): Promise<string> {
    await using file = await open(this.#directory.agentLog, 'r');
    const { size } = await file.stat();
    // It was moved away and begun anew.
    const start = size < this.#logStart ? 0 : this.#logStart;
    const bytes = Buffer.alloc(size - start);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
    return bytes.toString('utf8', 0, bytesRead);
  }

  async logged(text: string): Promise<string[]> {
    const deadline = performance.now() + LOG_MS;
    for (;;) {
      const lines = (await this.log()).split('\n').filter((line) => line.includes(text));
      if (lines.length > 0 || performance.now() >= deadline) return lines;
      // Another process writes the file. inotify would tell, but libuv never gives its descriptor back.
      await delay(50);
    }
  }
}

/** Of the VM whose directory this is. */
export function vmDirectoryOf(path: string): VmDirectory {
  return new VmDirectory(dirname(path), basename(path));
}

/** Connects to the VM's agent as its host. */
export async function openVm(path: string, options: { negotiate?: boolean } = {}) {
  const directory = vmDirectoryOf(path);
  const agent = new VmAgent(directory);
  const host = new RawHost(directory.vsock);
  try {
    await host.listenBridge();
    const bridge = await agent.orExit(host.acceptBridge(AbortSignal.timeout(60_000)));
    if (options.negotiate ?? true) await negotiate(bridge);
    const session: VmSession = {
      agent,
      host,
      bridge,
      [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
    };
    return session;
  } catch (error) {
    await host[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs scripts in the VM over a session that is open. */
export function shellOf({ host, bridge }: VmSession): GuestShell {
  return async (script) => {
    const process = await execInUvm(host, bridge, {
      CommandArgs: ['sh', '-c', script],
      Environment: { PATH },
    });
    const { exitCode, stdout, stderr } = await finish(bridge, NULL_CONTAINER, process);
    if (exitCode !== 0) throw new Error(`${script}: exit code ${exitCode}: ${stderr}`);
    return stdout;
  };
}

/** Runs a script in the VM as its host of the moment. */
export async function inGuest(path: string, script: string): Promise<string> {
  await using session = await openVm(path);
  return await shellOf(session)(script);
}

/** Unpacks the root file system of the tests in the guest, once. */
export async function useGuestRootfs(path: string): Promise<void> {
  const made = await inGuest(path, `test -d ${GUEST_ROOTFS}/home && echo yes || true`);
  if (made !== '') return;
  const local = mkdtempSync(join(tmpdir(), 'gcs-rootfs-'));
  try {
    makeRootfs(local);
    await using session = await openVm(path);
    const script = `mkdir -p ${GUEST_ROOTFS} && chmod 755 ${GUEST_ROOTFS} && tar -xf - -C ${GUEST_ROOTFS}`;
    const unpack = await execInUvm(
      session.host,
      session.bridge,
      { CommandArgs: ['sh', '-c', script], Environment: { PATH } },
      { stdin: true, stdout: true, stderr: true },
    );
    const pack = spawn('tar', ['-cf', '-', '-C', local, '.'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (unpack.stdin === undefined) throw new Error('no stdin');
    const ended = finish(session.bridge, NULL_CONTAINER, unpack);
    await pipeline(pack.stdout, unpack.stdin);
    const { exitCode, stderr } = await ended;
    if (exitCode !== 0) throw new Error(`tar in the guest: ${exitCode}: ${stderr}`);
  } finally {
    rmSync(local, { recursive: true, force: true });
  }
}

let baseline: Counts | undefined;

/**
 * Runs `body` as the host of the VM's agent and requires that the guest, and then this process, hold
 * nothing they did not hold before. After a failure the guest is swept clean for the next test.
 */
export function withVmAgent(
  path: string,
  options: { negotiate?: boolean },
  body: (session: VmSession) => Promise<void>,
): Promise<void> {
  return leavingNothingIn(path, async () => {
    await using session = await openVm(path, options);
    await body(session);
  });
}

/** The same for a body that connects as it likes. */
export async function leavingNothingIn(path: string, body: () => Promise<void>): Promise<void> {
  const outside = takeCensus({ cgroups: [] });
  // Every test leaves as much as this: what is right for the first of a file is for all of them.
  baseline ??= await withShell(path, takeGuestCensus);
  const before = baseline;
  const agent = new VmAgent(vmDirectoryOf(path));
  try {
    await body();
    await withShell(path, (shell) => assertNothingLeftInGuest(before, shell));
  } catch (error) {
    if (error instanceof Error) error.message += await aftermath(path, before, agent);
    baseline = undefined;
    await sweepGuest(path);
    throw error;
  }
  await assertNothingLeft(outside);
}

/** Ends whatever containers there are, and the agent with all that is written down of them: init starts a new one. */
export async function sweepGuest(path: string): Promise<void> {
  await withShell(path, (shell) => shell(CLEAN_SLATE)).catch(() => {}); // The agent dies of it.
}

async function aftermath(path: string, before: Counts, agent: VmAgent): Promise<string> {
  const left = await withShell(path, async (shell) =>
    leftoverCounts(before, await takeGuestCensus(shell)),
  ).catch((error: unknown) => [`no census: ${String(error)}`]);
  const behind = left.length === 0 ? '' : `\n(left behind by then:\n  ${left.join('\n  ')})`;
  return `${behind}\n(log of the agent:\n${await agent.log()})`;
}

async function withShell<T>(path: string, work: (shell: GuestShell) => Promise<T>): Promise<T> {
  await using session = await openVm(path);
  return await work(shellOf(session));
}
