/** The guest's kernel has what the relays of terminals use; elsewhere they would copy, and a killed agent lose what is under way. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { testVm } from '../support/suite.ts';
import { inGuest } from '../support/vm-agent.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');
const SOURCE = join(import.meta.dirname, '../support/terminal-splice.c');

test('terminals can be spliced, in both directions, without a byte in between', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-splice-'));
  try {
    const program = join(directory, 'terminal-splice');
    execFileSync('musl-gcc', ['-Os', '-static', '-s', '-D_GNU_SOURCE', '-o', program, SOURCE]);
    const text = readFileSync(program, 'base64');
    const script = `p=/run/terminal-splice; echo ${text} | base64 -d >$p && chmod +x $p && $p; rm $p`;
    expect(await inGuest(vm, script)).toBe('ok\n');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
