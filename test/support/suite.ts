/**
 * What the integration tests of the bridge run on: a fresh agent for each test and a root file
 * system it can see. The tests say nothing of where the agent runs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, inject, test } from 'vitest';
import type { OciSpec } from '../../src/spec/oci.ts';
import { type AgentOptions, type TestedAgent, withRawAgent } from './agent-process.ts';
import { makeSpec, type SpecOptions } from './bundle.ts';
import { NULL_CONTAINER, type RawBridge, type RawHost } from './raw-client.ts';
import * as flows from './raw-flows.ts';
import './suite-context.ts';
import { makeRootfs } from './rootfs.ts';

/** See ProvidedContext; a VM of one's own is named by the variable. */
export const testVm: string | undefined = process.env.GCS_TEST_VM ?? inject('gcsVm');

/** A test that a shared VM cannot stand: it is skipped there, with the reason. */
export function testOutsideVm(reason: string, name: string, body: () => Promise<void>): void {
  test(name, async (context) => {
    if (testVm !== undefined) context.skip(reason);
    await body();
  });
}

let rootfs: string | undefined;

/** Makes the root file system once for the tests of a file. To be called at its top level. */
export function useRootfs(): void {
  if (testVm !== undefined) {
    beforeAll(async () => {
      const { GUEST_ROOTFS, useGuestRootfs } = await import('./vm-agent.ts');
      await useGuestRootfs(testVm);
      rootfs = GUEST_ROOTFS;
    });
    return;
  }
  beforeAll(() => {
    rootfs = mkdtempSync(join(tmpdir(), 'gcs-rootfs-'));
    makeRootfs(rootfs);
  });
  afterAll(() => {
    if (rootfs !== undefined) rmSync(rootfs, { recursive: true, force: true });
  });
}

/** A spec on the shared root file system. */
export function spec(options: SpecOptions): OciSpec {
  if (rootfs === undefined) throw new Error('useRootfs() was not called');
  return makeSpec({ rootPath: rootfs, ...options });
}

/** Where hosts place bundles. */
export function bundleOf(id: string): string {
  return `/run/gcs/c/${id}`;
}

/** An agent with its host. */
export interface Tested {
  readonly agent: TestedAgent;
  readonly host: RawHost;
  readonly bridge: RawBridge;
}

/** One host with one agent, and the steps of a container's life as methods. */
export class Session {
  readonly raw: Tested;

  constructor(raw: Tested) {
    this.raw = raw;
  }

  get bridge(): RawBridge {
    return this.raw.bridge;
  }

  create(id: string, options: SpecOptions, extra: object = {}): Promise<void> {
    return this.createFrom(id, spec(options), extra);
  }

  createFrom(id: string, ociSpec: object, extra: object = {}): Promise<void> {
    return this.#or(flows.create(this.bridge, id, bundleOf(id), ociSpec, extra));
  }

  startInit(id: string, choice?: flows.StreamChoice): Promise<flows.RawProcess> {
    return this.#or(flows.startInit(this.raw.host, this.bridge, id, choice));
  }

  exec(id: string, process: object, choice?: flows.StreamChoice): Promise<flows.RawProcess> {
    return this.#or(flows.exec(this.raw.host, this.bridge, id, process, choice));
  }

  /** An exec of a shell script as root. */
  sh(id: string, script: string, choice?: flows.StreamChoice): Promise<flows.RawProcess> {
    return this.exec(id, shellProcess(script), choice);
  }

  execInUvm(parameters: object, choice?: flows.StreamChoice): Promise<flows.RawProcess> {
    return this.#or(flows.execInUvm(this.raw.host, this.bridge, parameters, choice));
  }

  /** Output of a shell script run in the VM itself. */
  async uvmSh(script: string): Promise<string> {
    const process = await this.execInUvm({
      CommandArgs: ['sh', '-c', script],
      Environment: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    const { exitCode, stdout, stderr } = await this.finish(NULL_CONTAINER, process);
    if (exitCode !== 0) throw new Error(`${script}: exit code ${exitCode}: ${stderr}`);
    return stdout;
  }

  /** Pid of the agent as the VM has it. */
  async agentPid(): Promise<number> {
    return Number(await this.uvmSh('echo $PPID'));
  }

  finish(id: string, process: flows.RawProcess) {
    return this.#or(flows.finish(this.bridge, id, process));
  }

  wait(id: string, pid: number, timeoutMs?: number): Promise<number> {
    return this.#or(flows.wait(this.bridge, id, pid, timeoutMs));
  }

  signal(id: string, pid: number, signal?: number): Promise<void> {
    return this.#or(flows.signal(this.bridge, id, pid, signal));
  }

  properties(id: string, types: string[]) {
    return this.#or(flows.properties(this.bridge, id, types));
  }

  delete(id: string): Promise<void> {
    return this.#or(flows.deleteState(this.bridge, id));
  }

  /** Kills a container's init, waits for it and deletes the container. */
  async killAndDelete(id: string, process: flows.RawProcess): Promise<void> {
    await this.signal(id, process.pid, 9);
    await this.finish(id, process);
    await this.delete(id);
  }

  notification(id: string) {
    return this.#or(this.bridge.notification(id));
  }

  call(type: number, body: object) {
    return this.#or(this.bridge.call(type, body));
  }

  #or<T>(promise: Promise<T>): Promise<T> {
    return this.raw.agent.orExit(promise);
  }
}

/** An OCI process that runs a shell script. */
export function shellProcess(script: string, extra: object = {}) {
  return {
    args: ['sh', '-c', script],
    env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
    cwd: '/',
    user: { uid: 0, gid: 0 },
    ...extra,
  };
}

/** Runs `body` against a fresh agent and requires that it leaves nothing behind. */
export function withSession(
  body: (session: Session) => Promise<void>,
  options: AgentOptions & { negotiate?: boolean } = {},
): Promise<void> {
  if (testVm !== undefined) return withVmSession(testVm, body, options);
  return withRawAgent(options, (raw) => body(new Session(raw)));
}

async function withVmSession(
  vm: string,
  body: (session: Session) => Promise<void>,
  { negotiate, ...others }: AgentOptions & { negotiate?: boolean },
): Promise<void> {
  const [option] = Object.keys(others);
  if (option !== undefined) throw new Error(`the VM's agent is started already: no "${option}"`);
  const { withVmAgent } = await import('./vm-agent.ts');
  const choice = negotiate === undefined ? {} : { negotiate };
  await withVmAgent(vm, choice, (raw) => body(new Session(raw)));
}
