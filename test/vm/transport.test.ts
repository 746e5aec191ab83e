/** The transport compliance suite inside the guest, over its own AF_VSOCK loopback. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { NULL_CONTAINER } from '../support/raw-client.ts';
import { execInUvm, finish } from '../support/raw-flows.ts';
import { testVm } from '../support/suite.ts';
import { openVm } from '../support/vm-agent.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');
const SUPPORT = join(import.meta.dirname, '../support');
const PLACE = '/run/gcs-test/compliance';
/** Of 25 cases. */
const AT_LEAST = 20;
/** A whole GiB each way takes four minutes on an emulated processor. */
const MIB_PER_GIB = process.env.GCS_TEST_GIB_MIB ?? '48';

async function bundle(outdir: string): Promise<void> {
  await build({
    entryPoints: {
      suite: join(SUPPORT, 'guest-runner/compliance.ts'),
      peer: join(SUPPORT, 'transport-peer.ts'),
    },
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    alias: { vitest: join(SUPPORT, 'guest-runner/vitest.ts') },
    logLevel: 'warning',
  });
}

test('AF_VSOCK keeps what every transport promises', { timeout: 600_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-compliance-'));
  try {
    await bundle(directory);
    await using session = await openVm(vm);
    // Node writes nothing to a stdout that is a vsock (a kind it does not know): hence the pipe.
    const script = `rm -rf ${PLACE} && mkdir -p ${PLACE} && cd ${PLACE} && tar -xf - && ln -s /opt/gcs/build/native native &&
      { /opt/gcs/node suite.mjs; echo "code $?"; } 2>&1 | cat; cd / && rm -rf ${PLACE}`;
    const process = await execInUvm(
      session.host,
      session.bridge,
      {
        CommandArgs: ['/bin/sh', '-c', script],
        Environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', GCS_TEST_GIB_MIB: MIB_PER_GIB },
      },
      { stdin: true, stdout: true },
    );
    const pack = spawn('tar', ['-cf', '-', '-C', directory, '.'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = finish(session.bridge, NULL_CONTAINER, process);
    await pipeline(pack.stdout, process.stdin ?? expect.unreachable('no stdin'));
    const { exitCode, stdout } = await ended;
    expect(stdout).not.toMatch(/^not ok /m);
    expect(stdout).toMatch(/^code 0$/m);
    expect(exitCode).toBe(0);
    expect(stdout.match(/^ok /gm)?.length, stdout).toBeGreaterThanOrEqual(AT_LEAST);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
