/** However an agent is killed while it collects its children, no exit code is lost. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { descendants } from '../support/proc.ts';
import { Supervised } from '../support/supervised.ts';

const AGENT = fileURLToPath(new URL('../support/collecting-agent.ts', import.meta.url));

function read(directory: string): Map<string, number> {
  const names = readdirSync(directory).filter((name) => /^\d+\.\d+$/.test(name));
  return new Map(names.map((name) => [name, Number(readFileSync(join(directory, name), 'utf8'))]));
}

/** Codes as a shell says them, by init's records. */
function recorded(supervised: Supervised): Map<string, number> {
  return new Map(
    [...supervised.records()].map(([name, text]) => {
      const [kind, status] = text.split(' ').map(Number);
      return [name, kind === 1 ? (status ?? -1) : 128 + (status ?? 0)];
    }),
  );
}

function compare(directory: string, init: Map<string, number>) {
  const expected = read(join(directory, 'expected'));
  const agent = read(join(directory, 'journal'));
  const known = { both: 0, init: 0, agent: 0 };
  const wrong: string[] = [];
  for (const [name, code] of expected) {
    const [byAgent, byInit] = [agent.get(name), init.get(name)];
    if (byAgent !== undefined && byInit !== undefined) known.both++;
    else if (byInit !== undefined) known.init++;
    else if (byAgent !== undefined) known.agent++;
    else wrong.push(`${name} ended with ${code}: nobody knows`);
    for (const told of [byAgent, byInit]) {
      if (told !== undefined && told !== code) wrong.push(`${name}: ${told} instead of ${code}`);
    }
  }
  expect(wrong).toEqual([]);
  return known;
}

/** Has agents die in the given way; then one that starts nothing, until all children have ended. */
async function deaths(step: string, count: number, kill: boolean) {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-collecting-'));
  try {
    await using supervised = new Supervised([process.execPath, AGENT, directory, step]);
    for (let death = 1; death <= count; death++) {
      await supervised.see(new RegExp(`(busy\\n[^]*){${death}}`));
      if (!kill) continue;
      // Any moment will do, and no two are the same.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 150));
      process.kill(await supervised.agent(), 'SIGKILL');
    }
    await supervised.see(new RegExp(`(busy\\n[^]*){${count}}`));
    writeFileSync(join(directory, 'stop'), '');
    if (kill) process.kill(await supervised.agent(), 'SIGKILL');
    await supervised.see(/idle/);
    while (descendants(supervised.pid).length > 1) await new Promise((go) => setTimeout(go, 5));
    return compare(directory, recorded(supervised));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('killed when a status is known and not yet written down: init has it', async () => {
  const known = await deaths('before', 6, false);
  expect(known.init).toBeGreaterThanOrEqual(5);
});

test('killed when it is written down and not yet collected: both have it', async () => {
  const known = await deaths('written', 6, false);
  expect(known.both).toBeGreaterThanOrEqual(5);
});

test('killed when it is collected: the agent has written it down', async () => {
  const known = await deaths('collected', 6, false);
  expect(known.agent).toBeGreaterThanOrEqual(5);
});

test('killed at any moment: somebody has each of them', async () => {
  const known = await deaths('none', 10, true);
  expect(known.agent + known.init + known.both).toBeGreaterThan(20);
});
