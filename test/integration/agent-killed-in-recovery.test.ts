/** The agent is killed, and the next one again at each step of taking up what was left: the third knows all of it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { untilProcessEnds } from '../../src/os/process-end.ts';
import { buildFaultAgent } from '../support/fault-agent.ts';
import {
  addressesOf,
  createNetworked,
  deleteSandbox,
  linkNames,
  modifyNetwork,
  newGuid,
  pidOf,
  plug,
  unplug,
} from '../support/network-lab.ts';
import { NULL_CONTAINER, RAW, type RawBridge } from '../support/raw-client.ts';
import { firstData, OutputSoFar, type RawProcess, readAll } from '../support/raw-flows.ts';
import { shellProcess, spec, useRootfs } from '../support/suite.ts';
import { type SupervisedSession, withSupervised } from '../support/supervised-agent.ts';

useRootfs();
// Some twenty recoveries each.
vi.setConfig({ testTimeout: 180_000 });

/** The steps of a recovery are much alike whatever was left: one in three for each state, another third for the next one. */
const STRIDE = process.env.GCS_TEST_LONG === undefined ? 3 : 1;
let states = 0;

let root = '';
beforeAll(async () => {
  root = await buildFaultAgent();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const all = { stdin: true, stdout: true, stderr: true };
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
const script = { args: ['sh', '-c', 'echo begun; exit 5'] };

/** What the first agent leaves. */
interface Left<T> {
  prepare(session: SupervisedSession, id: string): Promise<T>;
  /** What it is killed in, at the step of that name; without one it happens while the agent is stopped, and is killed then. */
  operate?(session: SupervisedSession, id: string, prepared: T): Promise<unknown>;
  at?: RegExp;
  /** What must be true after each recovery, where all are of one and the same state: without it each has one of its own. */
  still?(session: SupervisedSession, id: string, prepared: T, step: number): Promise<void>;
  /** What must be true afterwards; leaves nothing behind. `told` resolves when any of the agents has told of the end of a container. */
  check(session: SupervisedSession, id: string, prepared: T, told: Told): Promise<void>;
}

type Told = (containerId: string) => Promise<unknown>;

class Faults {
  readonly #session: SupervisedSession;
  readonly #plan: string;

  constructor(session: SupervisedSession) {
    this.#session = session;
    this.#plan = join(session.supervised.directory, 'faults');
  }

  set(...lines: readonly string[]): void {
    rmSync(`${this.#plan}.done`, { force: true });
    writeFileSync(this.#plan, lines.join('\n'));
  }

  clear(): void {
    rmSync(this.#plan, { force: true });
  }

  /** Names of the steps that agents were killed at. */
  get done(): string[] {
    const file = `${this.#plan}.done`;
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  }

  /** Kills an agent that does nothing, so that the plan is for the next one. */
  async killStopped(meanwhile: () => Promise<unknown>, next: string): Promise<void> {
    const { pid, bridge } = this.#session.supervised;
    if (pid === undefined) throw new Error('no agent runs');
    process.kill(pid, 'SIGSTOP');
    await meanwhile();
    this.set(next);
    process.kill(pid, 'SIGKILL');
    await bridge.closed;
  }
}

/** What an agent does after its last answer is done when it has answered another. */
async function settled(session: SupervisedSession): Promise<void> {
  await exists(session, 'nobody').catch(() => {});
}

/**
 * With the agent that has recovered: one that is killed soon after it has connected was not it.
 * Resolves with the bridges of all of them.
 */
async function connected(session: SupervisedSession, faults: Faults): Promise<RawBridge[]> {
  const { supervised } = session;
  const bridges = [supervised.bridge];
  for (;;) {
    const negotiated = supervised.connect().then(() => true);
    const before = supervised.bridge;
    const alive = await negotiated.catch((error: Error) => {
      // Of the agent that was killed; anything else is no matter of its end.
      if (supervised.bridge === before) throw error;
      return false;
    });
    bridges.push(supervised.bridge);
    if (alive && (await answers(session))) {
      faults.clear();
      if (await answers(session)) return bridges;
    }
  }
}

/** False when the agent has been killed. */
async function answers(session: SupervisedSession): Promise<boolean> {
  const { closed } = session.supervised.bridge;
  return await Promise.race([closed.then(() => false), settled(session).then(() => true)]);
}

/** Kills the second agent at its first step, then at a later one, and so on until it comes to its end. */
async function recoverCutOffAtEach<T>(left: Left<T>): Promise<void> {
  const first = 1 + (states % STRIDE);
  states += 1;
  await withSupervised({ root }, async (session) => {
    const faults = new Faults(session);
    let kept: { id: string; prepared: T } | undefined;
    for (let step = first; ; step += STRIDE) {
      const id = kept?.id ?? `cut${step}`;
      const prepared = kept === undefined ? await left.prepare(session, id) : kept.prepared;
      if (left.still !== undefined) kept = { id, prepared };
      await settled(session);
      await leave(session, faults, left, { id, prepared, step });
      const bridges = await connected(session, faults);
      const told: Told = (container) =>
        Promise.any(bridges.map((bridge) => bridge.notification(container)));
      const [cut] = faults.done.slice(left.at === undefined ? 0 : 1);
      const name = `recovery killed at step ${step}, ${cut ?? 'its end'}`;
      console.log(name);
      try {
        await left.still?.(session, id, prepared, step);
        if (kept === undefined || cut === undefined) {
          await left.check(session, id, prepared, told);
        }
        await settled(session);
      } catch (error) {
        if (error instanceof Error) error.message = `${name}: ${error.message}`;
        throw error;
      }
      if (cut !== undefined) continue;
      expect(step).toBeGreaterThan(3);
      return;
    }
  });
}

async function leave<T>(
  session: SupervisedSession,
  faults: Faults,
  left: Left<T>,
  { id, prepared, step }: { id: string; prepared: T; step: number },
): Promise<void> {
  const { at } = left;
  const operate = async () => left.operate?.(session, id, prepared);
  if (at === undefined) {
    await faults.killStopped(operate, `kill ${step}`);
    return;
  }
  const { closed } = session.supervised.bridge;
  faults.set(`at ${at.source}`, `kill ${step}`);
  const over = operate().catch(() => {});
  await closed;
  await over;
}

async function exists(session: SupervisedSession, id: string): Promise<boolean> {
  try {
    await session.properties(id, ['ProcessList']);
    return true;
  } catch (error) {
    if (String(error).includes('not found')) return false;
    throw error;
  }
}

/** Starts it and runs it to its end. */
async function useUp(session: SupervisedSession, id: string): Promise<void> {
  const init = await session.startInit(id, { stdout: true });
  const [code, output] = await Promise.all([session.wait(id, init.pid), readAll(init.stdout)]);
  expect([code, output.trim()]).toEqual([5, 'begun']);
  await session.delete(id);
}

/** A process that has said something, waits for a line, and has nothing more to say until then. */
async function said(process: RawProcess): Promise<RawProcess> {
  await firstData(process.stdout);
  process.stdout?.pause();
  return process;
}

async function finished(
  session: SupervisedSession,
  target: string,
  process: RawProcess,
): Promise<[number, string]> {
  process.stdin?.end('go\n');
  const { exitCode, stdout } = await session.finish(target, process);
  return [exitCode, stdout];
}

const echo = 'while read x; do echo "got $x"; done; exit';

/** A process with what it has written, and was told to. */
class Talk {
  readonly process: RawProcess;
  readonly #output: OutputSoFar;
  #expected = '';

  constructor(process: RawProcess) {
    this.process = process;
    this.#output = new OutputSoFar(process.stdout);
  }

  /** Requires its answer, and that it has written nothing else. */
  async line(text: string): Promise<void> {
    this.process.stdin?.write(`${text}\n`);
    this.#expected += `got ${text}\n`;
    await this.#output.contains(this.#expected);
    expect(this.#output.text).toBe(this.#expected);
  }

  end(): void {
    this.process.stdin?.end();
    this.process.stderr?.destroy();
  }
}

test('what lives goes on: streams, processes, codes that nobody has asked for yet', async () => {
  await recoverCutOffAtEach({
    prepare: async (session, id) => {
      await session.create(id, { args: ['sh', '-c', `${echo} 7`] });
      const init = new Talk(await session.startInit(id, all));
      const exec = new Talk(await session.exec(id, shellProcess(`${echo} 4`), all));
      const gone = await session.exec(id, shellProcess('exit 3'), { stdout: true });
      await readAll(gone.stdout);
      const command = { CommandArgs: ['sh', '-c', `${echo} 6`], Environment: environment };
      return { init, exec, gone, vm: new Talk(await session.execInUvm(command, all)) };
    },
    still: async (session, id, { init, exec, vm }, step) => {
      for (const talk of [init, exec, vm]) await talk.line(`${step}`);
      const { ProcessList = [] } = await session.properties(id, ['ProcessList']);
      expect(ProcessList).toHaveLength(3);
    },
    check: async (session, id, { init, exec, gone, vm }) => {
      expect(await session.wait(id, gone.pid)).toBe(3);
      for (const [talk, target, code] of [
        [exec, id, 4],
        [init, id, 7],
        [vm, NULL_CONTAINER, 6],
      ] as const) {
        talk.end();
        expect(await session.wait(target, talk.process.pid)).toBe(code);
      }
      for (const { process } of [exec, init, vm]) process.stdin?.destroy();
      await session.notification(id);
      await session.delete(id);
    },
  });
});

test('what is not started yet, and what has ended: its streams, its code', async () => {
  await recoverCutOffAtEach({
    prepare: async (session, id) => {
      await session.create(`${id}-new`, { ...script, terminal: true });
      await session.create(`${id}-end`, script);
      const ended = await session.startInit(`${id}-end`, { stdout: true });
      expect(await readAll(ended.stdout)).toBe('begun\n');
      await session.notification(`${id}-end`);
      return ended;
    },
    still: async (session, id) => {
      expect(await exists(session, `${id}-new`)).toBe(true);
      expect(await exists(session, `${id}-end`)).toBe(true);
    },
    check: async (session, id, ended) => {
      await useUp(session, `${id}-new`);
      expect(await session.wait(`${id}-end`, ended.pid)).toBe(5);
      await session.delete(`${id}-end`);
    },
  });
});

test('a pod, layers and a policy: known, and can be taken away', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-layers-'));
  try {
    for (const layer of ['base', 'top']) mkdirSync(join(directory, layer));
    const annotations = (sandbox: string, type: string) => ({
      'io.kubernetes.cri.container-type': type,
      'io.kubernetes.cri.sandbox-id': sandbox,
    });
    const { hostname: _, ...plain } = spec({ args: ['sleep', '1000'] });
    const modify = (session: SupervisedSession, type: string, resource: string, settings: object) =>
      session.call(RAW.modifySettings, {
        ContainerId: NULL_CONTAINER,
        Request: { RequestType: type, ResourceType: resource, Settings: settings },
      });
    const layers = (id: string) => ({
      ContainerRootPath: `/run/layers/${id}/root`,
      Layers: [{ Path: join(directory, 'top') }, { Path: join(directory, 'base') }],
      ScratchPath: `/run/scratch/${id}`,
    });
    const policy = { EncodedSecurityPolicy: Buffer.from('{"allow_all":true}').toString('base64') };
    await recoverCutOffAtEach({
      prepare: async (session, id) => {
        await modify(session, 'Update', 'SecurityPolicy', policy);
        await modify(session, 'Add', 'CombinedLayers', layers(id));
        await session.createFrom(id, { ...plain, annotations: annotations(id, 'sandbox') });
        await session.createFrom(`${id}-w`, {
          ...plain,
          annotations: annotations(id, 'container'),
        });
      },
      still: async (session, id) => {
        const again = modify(session, 'Update', 'SecurityPolicy', policy);
        await expect(again).rejects.toThrow('already been set');
        expect(await exists(session, id)).toBe(true);
        expect(await exists(session, `${id}-w`)).toBe(true);
      },
      check: async (session, id) => {
        await session.delete(`${id}-w`);
        await deleteSandbox(session, id);
        await modify(session, 'Remove', 'CombinedLayers', layers(id));
        for (const path of ['/run/layers', '/run/scratch']) {
          expect(existsSync(session.supervised.path(path))).toBe(false);
        }
        rmSync(session.supervised.path('/run/gcs/state/policy'), { recursive: true });
      },
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('an adapter in a container: it is known, and can be taken away', async () => {
  await recoverCutOffAtEach({
    prepare: async (session, id) => {
      await session.uvmSh('mount -t tmpfs tmpfs /sys/bus; mkdir -p /sys/bus/vmbus/devices');
      const [namespace, nic] = [newGuid(), await plug(session, 'eth0')];
      const adapter = { NamespaceID: namespace, ID: nic.id };
      const address = { IPAddress: '10.9.0.2', PrefixLength: 24 };
      await modifyNetwork(session, 'Add', { ...adapter, ...address });
      await createNetworked(session, id, namespace);
      return { adapter, nic };
    },
    still: async (session, id) => {
      expect(await addressesOf(session, await pidOf(session, id), 'eth0')).toEqual(['10.9.0.2/24']);
    },
    check: async (session, id, { adapter, nic }) => {
      await modifyNetwork(session, 'Remove', adapter);
      expect(await linkNames(session, await pidOf(session, id))).toEqual(['lo']);
      await session.delete(id);
      await unplug(session, nic);
      await session.uvmSh('umount /sys/bus');
    },
  });
});

test.each([
  /create under way/,
  /^create done/,
  /after .*state.json/,
])('a create that is cut off at %s: nothing of it is left, or all of it is there', async (at) => {
  await recoverCutOffAtEach({
    at,
    prepare: async () => {},
    operate: (session, id) => session.create(id, script),
    check: async (session, id) => {
      if (!(await exists(session, id))) await session.create(id, script);
      await useUp(session, id);
    },
  });
});

test.each([
  /start under way/,
  /start done/,
])('a start that is cut off at %s: it is created and can be started, or it runs', async (at) => {
  await recoverCutOffAtEach({
    at,
    prepare: (session, id) => session.create(id, { args: ['sleep', '1000'] }),
    operate: async (session, id) => {
      const init = await session.startInit(id, { stdout: true });
      init.stdout?.destroy();
    },
    check: async (session, id) => {
      try {
        const init = await session.startInit(id, { stdout: true });
        init.stdout?.destroy();
      } catch (error) {
        expect(String(error)).toContain('already running');
      }
      const { ProcessList = [] } = await session.properties(id, ['ProcessList']);
      const [pid = 0, ...others] = (ProcessList as { ProcessId: number }[]).map(
        ({ ProcessId }) => ProcessId,
      );
      expect(others).toEqual([]);
      await session.signal(id, pid, 9);
      expect(await session.wait(id, pid)).toBe(137);
      await session.delete(id);
    },
  });
});

test.each([
  /exec under way/,
  /^exec done/,
])('an exec that is cut off at %s: nobody is left whom the host does not know', async (at) => {
  await recoverCutOffAtEach({
    at,
    prepare: async (session, id) => {
      await session.create(id, { args: ['sh', '-c', 'echo one; read x; exit 3'] });
      return await said(await session.startInit(id, all));
    },
    operate: async (session, id) => {
      const process = await session.exec(id, shellProcess('sleep 1000'), { stdout: true });
      process.stdout?.destroy();
    },
    check: async (session, id, init) => {
      const { ProcessList = [] } = await session.properties(id, ['ProcessList']);
      expect(ProcessList).toHaveLength(1);
      expect(await finished(session, id, init)).toEqual([3, '']);
      await session.delete(id);
    },
  });
});

test.each([
  /before the exit is announced/,
  /exit announced/,
])('an end that is cut off at %s: its code, its output, its notification', async (at) => {
  await recoverCutOffAtEach({
    at,
    prepare: async (session, id) => {
      await session.create(id, { args: ['sh', '-c', 'echo one; read x; echo "two $x"; exit 9'] });
      const init = await session.startInit(id, all);
      const output = new OutputSoFar(init.stdout);
      await output.contains('one\n');
      return { init, output };
    },
    operate: async (session, id, { init, output }) => {
      init.stdin?.end('go\n');
      await output.contains('two go\n');
      init.stderr?.destroy();
      await session.wait(id, init.pid);
      await session.supervised.bridge.closed;
    },
    check: async (session, id, { init, output }, told) => {
      expect(await session.wait(id, init.pid)).toBe(9);
      expect(output.text).toBe('one\ntwo go\n');
      await told(id);
      init.stdin?.destroy();
      await session.delete(id);
    },
  });
});

test.each([
  /delete under way/,
  /is removed$/,
  /before removing c\//,
])('a delete that is cut off at %s: it is there and can be deleted, or it is gone', async (at) => {
  await recoverCutOffAtEach({
    at,
    prepare: async (session, id) => {
      await session.create(id, script);
      const init = await session.startInit(id, { stdout: true });
      await session.finish(id, init);
      await session.notification(id);
    },
    operate: (session, id) => session.delete(id),
    check: async (session, id) => {
      if (await exists(session, id)) await session.delete(id);
      // Nothing is in the way of another of that name.
      await session.create(id, script);
      await useUp(session, id);
    },
  });
});

test('processes that end while no agent looks: their codes and all they wrote', async () => {
  const lastWords = (code: number) =>
    `trap 'kill $!; echo last words; exit ${code}' USR2; echo ready; sleep 1000 & wait`;
  await recoverCutOffAtEach({
    prepare: async (session, id) => {
      await session.create(id, { args: ['sh', '-c', lastWords(23)] });
      await session.create(`${id}-o`, { args: ['sleep', '1000'] });
      const init = await said(await session.startInit(id, all));
      const other = await session.startInit(`${id}-o`, {});
      const exec = await said(await session.exec(`${id}-o`, shellProcess(lastWords(24)), all));
      return { init, other, exec };
    },
    operate: async ({ supervised }, _id, { init, exec }) => {
      for (const outer of [exec, init].map(({ pid }) => supervised.outerPid(pid))) {
        process.kill(outer, 'SIGUSR2');
        await untilProcessEnds(outer);
      }
    },
    check: async (session, id, { init, other, exec }, told) => {
      expect(await finished(session, id, init)).toEqual([23, 'last words\n']);
      expect(await finished(session, `${id}-o`, exec)).toEqual([24, 'last words\n']);
      await told(id);
      await session.delete(id);
      await session.killAndDelete(`${id}-o`, other);
    },
  });
});
