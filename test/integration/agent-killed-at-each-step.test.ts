import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectManagement, type ManagementClient } from '../../src/client/management/index.ts';
import { buildFaultAgent } from '../support/fault-agent.ts';
import {
  addressesOf,
  createNetworked,
  deleteSandbox,
  linkNames,
  modifyNetwork,
  type Nic,
  newGuid,
  pidOf,
  plug,
  unplug,
} from '../support/network-lab.ts';
import { NULL_CONTAINER, RAW } from '../support/raw-client.ts';
import { firstData, OutputSoFar, type RawProcess, readAll } from '../support/raw-flows.ts';
import { shellProcess, spec, useRootfs } from '../support/suite.ts';
import { type SupervisedSession, withSupervised } from '../support/supervised-agent.ts';

useRootfs();

let root = '';
beforeAll(async () => {
  root = await buildFaultAgent();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const all = { stdin: true, stdout: true, stderr: true };

/** One operation that is cut off at each of its steps. */
interface Case<T> {
  /** Up to where the operation begins. */
  prepare(session: SupervisedSession, id: string): Promise<T>;
  /** Resolves or rejects when it is over, or the bridge is. */
  operate(session: SupervisedSession, id: string, prepared: T): Promise<unknown>;
  /** What must be true afterwards, whether it was cut off or not; leaves nothing behind. */
  check(session: SupervisedSession, id: string, prepared: T): Promise<void>;
}

/** The steps of an operation, by name: run once, to its end. */
async function stepsOf<T>(session: SupervisedSession, testCase: Case<T>): Promise<string[]> {
  const { directory } = session.supervised;
  const trace = join(directory, 'trace');
  writeFileSync(trace, '');
  const prepared = await testCase.prepare(session, 'whole');
  await settled(session);
  writeFileSync(join(directory, 'faults'), `trace ${trace}`);
  await testCase.operate(session, 'whole', prepared);
  rmSync(join(directory, 'faults'));
  await testCase.check(session, 'whole', prepared);
  return readFileSync(trace, 'utf8').trim().split('\n');
}

async function cutOffAtEach<T>(testCase: Case<T>): Promise<void> {
  await withSupervised({ root }, async (session) => {
    const steps = await stepsOf(session, testCase);
    expect(steps.length).toBeGreaterThan(1);
    for (const [index, step] of steps.entries()) {
      const id = `cut${index}`;
      const name = `killed at step ${index + 1} of ${steps.length}, ${step.replace('whole', id)}`;
      try {
        const prepared = await testCase.prepare(session, id);
        await settled(session);
        writeFileSync(join(session.supervised.directory, 'faults'), `kill ${index + 1}`);
        const over = testCase.operate(session, id, prepared).catch(() => {});
        const killed = session.supervised.bridge.closed;
        await killed;
        await over;
        const took = await session.supervised.connect();
        console.log(`${name}: negotiated again in ${Math.round(took)} ms`);
        await testCase.check(session, id, prepared);
        await settled(session);
      } catch (error) {
        if (error instanceof Error) error.message = `${name}: ${error.message}`;
        throw error;
      }
    }
  });
}

/** What the agent does after its last answer is done when it has answered another. */
async function settled(session: SupervisedSession): Promise<void> {
  await exists(session, 'nobody').catch(() => {});
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

async function pidsOf(session: SupervisedSession, id: string): Promise<number[]> {
  const { ProcessList = [] } = await session.properties(id, ['ProcessList']);
  return (ProcessList as { ProcessId: number }[]).map(({ ProcessId }) => ProcessId);
}

/** Starts it and runs it to its end. */
async function useUp(session: SupervisedSession, id: string): Promise<void> {
  const init = await session.startInit(id, { stdout: true });
  const [code, output] = await Promise.all([session.wait(id, init.pid), readAll(init.stdout)]);
  expect([code, output]).toEqual([5, 'begun\n']);
  await session.delete(id);
}

const script = { args: ['sh', '-c', 'echo begun; exit 5'] };

test('create: nothing of it is left, or all of it is there', async () => {
  await cutOffAtEach({
    prepare: async () => {},
    operate: (session, id) => session.create(id, script),
    check: async (session, id) => {
      if (await exists(session, id)) await useUp(session, id);
      else {
        // Nothing is in the way of the same again.
        await session.create(id, script);
        await useUp(session, id);
      }
    },
  });
});

test('create with a terminal: the same', async () => {
  const onTerminal = { ...script, terminal: true };
  await cutOffAtEach({
    prepare: async () => {},
    operate: (session, id) => session.create(id, onTerminal),
    check: async (session, id) => {
      if (!(await exists(session, id))) await session.create(id, onTerminal);
      const init = await session.startInit(id, { stdout: true });
      const [code, output] = await Promise.all([session.wait(id, init.pid), readAll(init.stdout)]);
      expect([code, output]).toEqual([5, 'begun\r\n']);
      await session.delete(id);
    },
  });
});

test('create from somebody’s bundle: the same, and the bundle stays as it is', async () => {
  interface Bundle {
    readonly path: string;
    readonly text: string;
  }
  const withDoor = async <T>(
    session: SupervisedSession,
    work: (client: ManagementClient) => Promise<T>,
  ): Promise<T> => {
    await using client = await connectManagement(session.raw.host.path);
    return await work(client);
  };
  const create = (session: SupervisedSession, id: string, { path }: Bundle) =>
    withDoor(session, (client) =>
      client.call('container.create', { id, bundle: path, verbatim: true }),
    );
  await cutOffAtEach<Bundle>({
    prepare: async (session, id) => {
      const path = join(session.supervised.directory, `bundle-${id}`);
      const text = JSON.stringify(spec(script));
      mkdirSync(path);
      writeFileSync(join(path, 'config.json'), text);
      return { path, text };
    },
    operate: create,
    check: async (session, id, bundle) => {
      if (!(await exists(session, id))) await create(session, id, bundle);
      await withDoor(session, (client) => client.call('container.delete', { id, force: true }));
      expect(readdirSync(bundle.path)).toEqual(['config.json']);
      expect(readFileSync(join(bundle.path, 'config.json'), 'utf8')).toBe(bundle.text);
    },
  });
});

test('start: it is created and can be started, or it runs', async () => {
  await cutOffAtEach({
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
      const [pid = 0, ...others] = await pidsOf(session, id);
      expect(others).toEqual([]);
      await session.signal(id, pid, 9);
      expect(await session.wait(id, pid)).toBe(137);
      await session.delete(id);
    },
  });
});

test('exec: the process is known, or there is none', async () => {
  await cutOffAtEach({
    prepare: async (session, id) => {
      await session.create(id, { args: ['sh', '-c', 'read x; exit 3'] });
      return await session.startInit(id, all);
    },
    operate: async (session, id) => {
      const process = await session.exec(id, shellProcess('sleep 1000'), { stdout: true });
      process.stdout?.destroy();
    },
    check: async (session, id, init) => {
      const others = (await pidsOf(session, id)).filter((pid) => pid !== init.pid);
      for (const pid of others) {
        await session.signal(id, pid, 9);
        expect(await session.wait(id, pid)).toBe(137);
      }
      await end(session, id, init);
    },
  });
});

/** Lets init read its line, and requires its code and all of its output. */
async function end(session: SupervisedSession, id: string, init: RawProcess): Promise<void> {
  init.stdin?.end('go\n');
  expect((await session.finish(id, init)).exitCode).toBe(3);
  await session.delete(id);
}

test('exit of init: its code, all of its output, its notification', async () => {
  await cutOffAtEach({
    prepare: async (session, id) => {
      await session.create(id, { args: ['sh', '-c', 'echo one; read x; echo "two $x"; exit 9'] });
      const init = await session.startInit(id, all);
      const output = new OutputSoFar(init.stdout);
      await output.contains('one\n');
      return { init, output };
    },
    operate: async (session, id, { init, output }) => {
      init.stdin?.end('more\n');
      await output.contains('two more\n');
      init.stderr?.destroy();
      // The notification is the last of it.
      await Promise.race([session.notification(id), session.supervised.bridge.closed]);
    },
    check: async (session, id, { init, output }) => {
      expect(await session.wait(id, init.pid)).toBe(9);
      await output.contains('two more\n');
      expect(output.text).toBe('one\ntwo more\n');
      init.stdin?.destroy();
      await session.delete(id);
    },
  });
});

test('exit of an exec: its code and all of its output', async () => {
  await cutOffAtEach({
    prepare: async (session, id) => {
      await session.create(id, { args: ['sh', '-c', 'read x; exit 3'] });
      const init = await session.startInit(id, all);
      const process = await session.exec(id, shellProcess('echo one; read x; exit 4'), all);
      await firstData(process.stdout);
      return { init, process };
    },
    operate: async (session, id, { process }) => {
      process.stdin?.end('go\n');
      const { exitCode } = await session.finish(id, process);
      expect(exitCode).toBe(4);
    },
    check: async (session, id, { init, process }) => {
      const left = (await pidsOf(session, id)).includes(process.pid);
      if (left) expect(await session.wait(id, process.pid)).toBe(4);
      for (const stream of [process.stdin, process.stdout, process.stderr]) stream?.destroy();
      await end(session, id, init);
    },
  });
});

test('delete: it is there and can be deleted, or it is gone', async () => {
  await cutOffAtEach({
    prepare: async (session, id) => {
      await session.create(id, script);
      const init = await session.startInit(id, { stdout: true });
      await session.finish(id, init);
      await session.notification(id);
    },
    operate: (session, id) => session.delete(id),
    check: async (session, id) => {
      if (await exists(session, id)) await session.delete(id);
    },
  });
});

test('combined layers: they are there and can be removed, or there is nothing of them', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-layers-'));
  try {
    for (const layer of ['base', 'top']) mkdirSync(join(directory, layer));
    const request = (session: SupervisedSession, id: string, type: string) =>
      session.call(RAW.modifySettings, {
        ContainerId: NULL_CONTAINER,
        Request: {
          RequestType: type,
          ResourceType: 'CombinedLayers',
          Settings: {
            ContainerRootPath: `/run/layers/${id}/root`,
            Layers: [{ Path: join(directory, 'top') }, { Path: join(directory, 'base') }],
            ScratchPath: `/run/scratch/${id}`,
          },
        },
      });
    const isThere = (session: SupervisedSession, id: string): boolean => {
      const table = readFileSync(`/proc/${session.supervised.supervisorPid}/mountinfo`, 'utf8');
      return table.includes(`/run/layers/${id}/root`);
    };
    const nothing = (session: SupervisedSession): void => {
      for (const path of ['/run/layers', '/run/scratch']) {
        expect(existsSync(session.supervised.path(path))).toBe(false);
      }
    };
    await cutOffAtEach({
      prepare: async () => {},
      operate: (session, id) => request(session, id, 'Add'),
      check: async (session, id) => {
        if (!isThere(session, id)) {
          nothing(session);
          await request(session, id, 'Add');
        }
        await request(session, id, 'Remove');
        nothing(session);
      },
    });
    await cutOffAtEach({
      prepare: (session, id) => request(session, id, 'Add'),
      operate: (session, id) => request(session, id, 'Remove'),
      check: async (session, id) => {
        const removed = request(session, id, 'Remove');
        await removed.catch((error) => expect(String(error)).toContain('nothing of that kind'));
        nothing(session);
      },
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

test.each([
  'direct',
  'terminal',
])('a process of the VM, %s: nobody is left whom the host does not know', async (kind) => {
  const terminal = kind === 'terminal';
  await cutOffAtEach({
    prepare: async () => {},
    operate: async (session) => {
      const process = await session.execInUvm(
        {
          // Its terminal is hung up by a host whose request fails.
          CommandArgs: ['sh', '-c', 'trap "" HUP; echo up; exec sleep 4711'],
          Environment: environment,
          EmulateConsole: terminal,
        },
        { stdout: true },
      );
      await firstData(process.stdout);
      process.stdout?.destroy();
    },
    check: async (session) => {
      const found = (await session.uvmSh('pgrep -f "[s]leep 4711" || true')).split('\n');
      for (const pid of found.filter((line) => line !== '').map(Number)) {
        await session.signal(NULL_CONTAINER, pid, 9);
        expect(await session.wait(NULL_CONTAINER, pid)).toBe(137);
      }
    },
  });
});

test('a pod: sandbox and workload are there, or there is nothing of them', async () => {
  const annotations = (sandbox: string, type: string) => ({
    'io.kubernetes.cri.container-type': type,
    'io.kubernetes.cri.sandbox-id': sandbox,
  });
  const { hostname: _, ...plain } = spec({ args: ['sleep', '1000'] });
  const shared = [
    { destination: '/shared', source: 'sandbox:///shared', type: 'bind', options: ['rbind'] },
  ];
  const create = (session: SupervisedSession, id: string, sandbox: string) =>
    id === sandbox
      ? session.createFrom(id, { ...plain, annotations: annotations(id, 'sandbox') })
      : session.createFrom(id, {
          ...plain,
          annotations: annotations(sandbox, 'container'),
          mounts: [...(plain.mounts ?? []), ...shared],
        });
  await cutOffAtEach({
    prepare: async () => {},
    operate: (session, id) => create(session, id, id),
    check: async (session, id) => {
      if (!(await exists(session, id))) await create(session, id, id);
      await create(session, `${id}-w`, id);
      await session.delete(`${id}-w`);
      await deleteSandbox(session, id);
    },
  });
  await cutOffAtEach({
    prepare: (session, id) => create(session, id, id),
    operate: (session, id) => create(session, `${id}-w`, id),
    check: async (session, id) => {
      if (!(await exists(session, `${id}-w`))) await create(session, `${id}-w`, id);
      await session.delete(`${id}-w`);
      await deleteSandbox(session, id);
    },
  });
});

test('network: a container with an adapter, and an adapter for a container', async () => {
  const adapter = (namespace: string, nic: Nic) => ({
    NamespaceID: namespace,
    ID: nic.id,
    IPAddress: '10.9.0.2',
    PrefixLength: 24,
  });
  const prepared = async (session: SupervisedSession) => {
    await session.uvmSh('mount -t tmpfs tmpfs /sys/bus; mkdir -p /sys/bus/vmbus/devices');
    return { namespace: newGuid(), nic: await plug(session, 'eth0') };
  };
  type Prepared = Awaited<ReturnType<typeof prepared>>;
  const leave = async (session: SupervisedSession, id: string, { namespace, nic }: Prepared) => {
    const pid = await pidOf(session, id);
    expect(await addressesOf(session, pid, 'eth0')).toEqual(['10.9.0.2/24']);
    await modifyNetwork(session, 'Remove', { NamespaceID: namespace, ID: nic.id });
    expect(await linkNames(session, pid)).toEqual(['lo']);
    await session.delete(id);
    await unplug(session, nic);
    await session.uvmSh('umount /sys/bus');
  };
  await cutOffAtEach<Prepared>({
    prepare: async (session) => {
      const made = await prepared(session);
      await modifyNetwork(session, 'Add', adapter(made.namespace, made.nic));
      return made;
    },
    operate: async (session, id, { namespace }) => {
      await createNetworked(session, id, namespace);
    },
    check: async (session, id, made) => {
      // A veth goes with its namespace, where a real adapter comes back.
      if (!(await exists(session, id))) {
        const { nic } = made;
        const names = await linkNames(session, 'agent');
        if (!names.includes('eth0')) await unplug(session, nic);
        if (!names.includes('eth0')) await plug(session, 'eth0', [], nic.id);
        await createNetworked(session, id, made.namespace);
      }
      await leave(session, id, made);
    },
  });
  await cutOffAtEach<Prepared>({
    prepare: async (session, id) => {
      const made = await prepared(session);
      await createNetworked(session, id, made.namespace);
      return made;
    },
    operate: (session, _id, { namespace, nic }) =>
      modifyNetwork(session, 'Add', adapter(namespace, nic)),
    check: async (session, id, made) => {
      const again = modifyNetwork(session, 'Add', adapter(made.namespace, made.nic));
      await again.catch((error) => expect(String(error)).toContain('already present'));
      await leave(session, id, made);
    },
  });
});
