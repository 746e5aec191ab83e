import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { AgentProcess, startRawAgent, withRawAgent } from '../support/agent-process.ts';
import { assertNothingLeft, takeCensus } from '../support/census.ts';
import { innermostPid } from '../support/proc.ts';
import { RAW } from '../support/raw-client.ts';

const LEAKY = fileURLToPath(new URL('fixtures/leaky-agent.cjs', import.meta.url));
const command = [process.execPath, LEAKY, '{PATH}'];

test('an agent that leaves nothing passes, as child of PID 1 and as PID 1', async () => {
  for (const asInit of [false, true]) {
    await withRawAgent({ command, asInit }, async ({ agent }) => {
      expect(innermostPid(agent.pid) === 1).toBe(asInit);
    });
  }
});

test('each kind of thing that is left is named', async () => {
  await using raw = await startRawAgent({ command });
  const before = takeCensus({ agent: raw.agent, directories: [raw.agent.directory] });
  await raw.bridge.call(RAW.start, {});
  const failure = await assertNothingLeft(before, { settleMs: 100 }).then(
    () => '',
    (error: Error) => error.message,
  );
  for (const kind of [
    /zombies of the agent: 1 × true|zombies of the agent: 1 × sh/,
    /processes of the agent: 2 × sleep/,
    /descriptors of the agent: 1 × \/dev\/zero/,
    /mounts of the agent: 1 × \/run\/left/,
    /state in \/run\/runc: 1 × left/,
    /state in \/run\/gcsrunc: 1 × left/,
    /cgroups: 1 × .*\/containers\/left/,
    /files in .*: 1 × v-left/,
  ]) {
    expect(failure).toMatch(kind);
  }
});

test('what an agent leaves ends with its namespaces; its cgroups and directory are removed', async () => {
  const before = takeCensus({ cgroups: [] });
  let cgroups: readonly string[];
  let directory: string;
  {
    await using raw = await startRawAgent({ command });
    ({ cgroups } = raw.agent);
    directory = dirname(raw.agent.path);
    await raw.bridge.call(RAW.start, {});
    expect(cgroups.some((path) => existsSync(path))).toBe(true);
  }
  expect(cgroups.filter((path) => existsSync(path))).toEqual([]);
  expect(existsSync(directory)).toBe(false);
  await assertNothingLeft(before);
});

test('an agent that ends at once is told with its log', async () => {
  const failing = startRawAgent({ command: ['sh', '-c', 'echo no luck >&2; exit 9'] });
  await expect(failing).rejects.toThrow(/the agent ended \(9\):\nno luck/);
});

test('the agent has no right to power the machine off', async () => {
  await using agent = new AgentProcess({
    command: ['sh', '-c', 'grep CapBnd /proc/self/status'],
  });
  await agent.exited;
  const bounding = BigInt(`0x${agent.log.match(/[0-9a-f]{16}/)?.[0]}`);
  const CAP_SYS_BOOT = 22n;
  expect((bounding >> CAP_SYS_BOOT) & 1n).toBe(0n);
});
