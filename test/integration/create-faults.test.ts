/** Create, failing after each of its steps in turn. The steps are what the agent did in a first, whole Create. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, vi } from 'vitest';
import { annotation } from '../../src/spec/annotations.ts';
import { FAULTS_VARIABLE } from '../support/faults.ts';
import { modifyNetwork, networkedSpec, newGuid } from '../support/network-lab.ts';
import { NULL_CONTAINER, RAW, RawFailure } from '../support/raw-client.ts';
import {
  bundleOf,
  type Session,
  spec,
  testOutsideVm,
  useRootfs,
  withSession,
} from '../support/suite.ts';

useRootfs();

// Some sixty steps a container, each a whole Create.
vi.setConfig({ testTimeout: 180_000 });

const INJECTOR = fileURLToPath(new URL('../support/faults.ts', import.meta.url));
const SHARED = 'the shared agent of a VM is started without the means to fail';

/** All that a container may leave in the VM, and in the agent. */
const TRACE = `cat /proc/self/mountinfo | cut -d' ' -f4- | sort
find /run -xdev | grep -v '^/run/gcs/state' | sort
find /sys/fs/cgroup -type d | sort; ip -o link | sed 's/^[0-9]*: //; s/ state .*//' | cut -d' ' -f1 | sort
ip route show table all | sort
ls -l /proc/$PPID/fd | sed 's/.* -> //; s/[0-9]*\\]$//' | grep -v '^/proc' | sort`;

let directory: string;
let control: string;
let run = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-faults-'));
  control = join(directory, 'control');
  writeFileSync(control, '');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** From now on calls are counted, and the one of this index fails. */
function arm(index: number): () => string[] {
  run++;
  const log = `${control}.${run}`;
  writeFileSync(control, `${run} ${index}`);
  return () => {
    writeFileSync(control, '');
    return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
  };
}

function withFaults(body: (s: Session) => Promise<void>): Promise<void> {
  const env = { NODE_OPTIONS: `--import=${INJECTOR}`, [FAULTS_VARIABLE]: control };
  return withSession(body, { env });
}

async function expectAsBefore(s: Session, before: string, after: string): Promise<void> {
  // Streams close, and processes are collected, a moment later.
  await vi.waitFor(
    async () => expect(await s.uvmSh(TRACE), `after a failure of: ${after}`).toBe(before),
    { timeout: 5000, interval: 50 },
  );
}

/** Creates `id` once for each step, with that one failing, and requires that nothing is left. */
async function failAtEachStep(
  s: Session,
  id: string,
  ociSpec: () => object,
  options: { extra?: object; remove?: () => Promise<void> } = {},
): Promise<void> {
  const { extra = {}, remove = () => s.delete(id) } = options;
  const createWhole = async (): Promise<string[]> => {
    const steps = arm(-1);
    await s.createFrom(id, ociSpec(), extra);
    const done = steps();
    await remove();
    return done;
  };
  // The first one loads what is loaded once.
  await createWhole();
  const steps = await createWhole();
  const before = await s.uvmSh(TRACE);
  const survived: string[] = [];
  for (const [index, step] of steps.entries()) {
    const ended = arm(index);
    const error = await s.createFrom(id, ociSpec(), extra).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    // What the agent does besides may have come in between.
    const failed = ended()[index] ?? step;
    if (error === undefined) {
      survived.push(failed);
      await remove();
    } else {
      expect(error, failed).toBeInstanceOf(RawFailure);
    }
    await expectAsBefore(s, before, `step ${index}: ${failed}`);
  }
  // Of what is done only the records for an agent to come are not needed: their failure is logged.
  expect(steps.length).toBeGreaterThan(10);
  expect(survived.length, `not needed: ${survived.join(', ')}`).toBeLessThan(steps.length / 2);
  await createWhole();
  await expectAsBefore(s, before, 'nothing');
}

const sleeper = { args: ['sleep', '1000'] };
const tee = { [annotation.teeLogPath]: 'x/y.log' };

describe('a Create that fails after any of its steps leaves nothing:', () => {
  testOutsideVm(SHARED, 'a container of its own, with a log and a scratch directory', () =>
    withFaults(async (s) => {
      const scratch = `${bundleOf('alone')}/scratch`;
      await failAtEachStep(s, 'alone', () => spec({ ...sleeper, annotations: tee }), {
        extra: { ScratchDirPath: scratch },
      });
    }),
  );

  testOutsideVm(SHARED, 'one with a terminal', () =>
    withFaults((s) => failAtEachStep(s, 'tty', () => spec({ ...sleeper, terminal: true }))),
  );

  testOutsideVm(SHARED, 'one with a network adapter', () =>
    withFaults(async (s) => {
      const plug = () =>
        s.uvmSh('ip link add ens3 address 02:15:5d:00:00:07 type veth peer name p-ens3');
      await plug();
      const namespace = newGuid();
      const ID = newGuid();
      await modifyNetwork(s, 'Add', {
        NamespaceID: namespace,
        ID,
        MacAddress: '02-15-5D-00-00-07',
        DNSServerList: '10.9.0.53',
        EnableLowMetric: true,
        EncapOverhead: 50,
        IPConfigs: [
          { IPAddress: '10.9.0.2', PrefixLength: 24 },
          { IPAddress: 'fd09::2', PrefixLength: 64 },
        ],
        Routes: [{ NextHop: '192.0.2.1', DestinationPrefix: '0.0.0.0/0' }],
      });
      await failAtEachStep(s, 'net', () => networkedSpec(namespace, sleeper), {
        // A link of this kind goes with the namespace it is in, a real adapter comes back.
        remove: async () => {
          await s.delete('net');
          // The kernel removes the namespace, the link in it and so the link's peer some time later.
          await s.uvmSh('while ip link show p-ens3 2>/dev/null; do sleep 0.05; done');
          await plug();
        },
      });
      await modifyNetwork(s, 'Remove', { NamespaceID: namespace, ID });
      await s.uvmSh('ip link del ens3');
    }),
  );

  testOutsideVm(SHARED, 'a sandbox with limits', () =>
    withFaults((s) =>
      failAtEachStep(s, 'pod', () =>
        spec({
          ...sleeper,
          hostname: 'pod',
          resources: { memory: { limit: 64 * 1024 * 1024 }, pids: { limit: 77 } },
          annotations: { [annotation.containerType]: 'sandbox' },
        }),
      ),
    ),
  );

  testOutsideVm(SHARED, 'a workload with mounts of its pod, a log and documents', () =>
    withFaults(async (s) => {
      await s.call(RAW.modifySettings, {
        ContainerId: NULL_CONTAINER,
        Request: {
          ResourceType: 'SecurityPolicy',
          Settings: { EncodedSecurityPolicy: Buffer.from('{"allow_all":true}').toString('base64') },
        },
      });
      const annotations = { [annotation.containerType]: 'sandbox' };
      await s.create('pod', { ...sleeper, hostname: 'pod', annotations });
      const bind = (source: string, destination: string) => ({
        destination,
        type: 'bind',
        source,
        options: ['rbind'],
      });
      await failAtEachStep(s, 'w', () => {
        const { hostname: _, ...workload } = spec({
          ...sleeper,
          mounts: [bind('sandbox://a/b', '/m'), bind('sandbox-tmp://t', '/t')],
          annotations: {
            [annotation.containerType]: 'container',
            [annotation.sandboxId]: 'pod',
            ...tee,
          },
        });
        return workload;
      });
      await s.delete('pod');
    }),
  );
});
