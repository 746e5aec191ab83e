/** init and the real agent, laid out as in the guest: who asks for power, and who grants it. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { InitLab } from '../support/init-lab.ts';
import { NULL_CONTAINER, RAW, RAW_BRIDGE_PORT, RawHost } from '../support/raw-client.ts';
import { negotiate } from '../support/raw-flows.ts';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

/** The guest's /opt/gcs, and what Node is linked with. */
function installAgent(root: string): void {
  const target = join(root, 'opt/gcs');
  mkdirSync(join(target, 'bin'), { recursive: true });
  cpSync(join(PROJECT, 'bin/gcs'), join(target, 'bin/gcs'));
  cpSync(process.execPath, join(target, 'node'));
  for (const name of [
    'start.cjs',
    'gcs.cjs',
    'gcs.cache',
    'gcs-later.cjs',
    'gcs-later.cache',
    'native',
  ]) {
    cpSync(join(PROJECT, 'build', name), join(target, 'build', name), { recursive: true });
  }
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
  for (const [path] of libraries.matchAll(/\/\S+/g)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(path, join(root, path));
  }
}

async function startAgent() {
  const lab = await InitLab.start({
    args: ['/opt/gcs/bin/gcs', '-v4', '-log-format', 'json', '-transport', 'hybrid:/host/v'],
    edit: installAgent,
  });
  const path = join(lab.directory, 'host/v');
  const host = new RawHost(path);
  await host.listenBridge();
  chmodSync(`${path}_${RAW_BRIDGE_PORT}`, 0o777);
  const ended = lab.exited.then((code) => {
    throw new Error(`init ended (${code}):\n${lab.console}`);
  });
  ended.catch(() => {});
  const accept = () => Promise.race([host.acceptBridge(), ended]);
  return {
    lab,
    accept,
    async [Symbol.asyncDispose]() {
      await lab[Symbol.asyncDispose]();
      await host[Symbol.asyncDispose]();
    },
  };
}

test('the host’s shutdown of the VM is a power-off by init', async () => {
  await using vm = await startAgent();
  const bridge = await vm.accept();
  await negotiate(bridge);
  // Not answered: the machine is gone.
  bridge.call(RAW.shutdownForced, { ContainerId: NULL_CONTAINER }).catch(() => {});
  expect(await vm.lab.exited).toBe(70);
  expect(vm.lab.messages).toContain('the agent asks for poweroff');
});

test('a killed agent is back, and no program it starts gets the channel', async () => {
  await using vm = await startAgent();
  await negotiate(await vm.accept());
  const pids = () =>
    [...vm.lab.console.matchAll(/gcs started, pid (\d+)/g)].map(([, pid]) => Number(pid));
  const agent = vm.lab.outerPid(pids().at(-1) ?? 0);
  // The inherited descriptor 3 is given up for one that is closed on exec.
  const flags = readdirSync(`/proc/${agent}/fd`)
    .filter((fd) => readlinkSync(`/proc/${agent}/fd/${fd}`).startsWith('socket:'))
    .map((fd) =>
      execFileSync('grep', ['flags', `/proc/${agent}/fdinfo/${fd}`], { encoding: 'utf8' }),
    );
  expect(flags.length).toBeGreaterThanOrEqual(2);
  // O_CLOEXEC is 02000000.
  expect(
    flags.filter((line) => (Number.parseInt(line.slice(6).trim(), 8) & 0o2000000) === 0),
  ).toEqual([]);
  process.kill(agent, 'SIGKILL');
  await negotiate(await vm.accept());
  expect(vm.lab.messages).toContainEqual(expect.stringMatching(/gcs ended, signal 9, again in/));
});
