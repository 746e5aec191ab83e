/** Suites that run in the guest itself: bundled here, unpacked and run there by its own Node. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { build } from 'esbuild';
import { expect } from 'vitest';
import { NULL_CONTAINER } from '../raw-client.ts';
import { execInUvm, finish } from '../raw-flows.ts';
import { openVm } from '../vm-agent.ts';

const PLACE = '/run/gcs-test/suite';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface GuestSuite {
  /** Source files by the name their bundles get; "suite" is run, others are for it. */
  readonly entries: Readonly<Record<'suite', string> & Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** So many cases must pass, and none may fail. */
  readonly atLeast: number;
}

/** Runs the suite in the VM and judges what it said; resolves with that. */
export async function expectGuestSuite(vm: string, suite: GuestSuite): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-suite-'));
  try {
    await bundle(suite.entries, directory);
    const { exitCode, stdout } = await runIn(vm, directory, suite.env ?? {});
    expect(stdout).not.toMatch(/^not ok /m);
    expect(stdout).toMatch(/^code 0$/m);
    expect(exitCode).toBe(0);
    const passed = stdout.match(/^ok /gm)?.length ?? 0;
    expect(passed, stdout).toBeGreaterThanOrEqual(suite.atLeast);
    return stdout;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function bundle(entryPoints: GuestSuite['entries'], outdir: string): Promise<void> {
  await build({
    entryPoints,
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    alias: { vitest: join(import.meta.dirname, 'vitest.ts') },
    logLevel: 'warning',
  });
}

async function runIn(vm: string, directory: string, env: Readonly<Record<string, string>>) {
  await using session = await openVm(vm);
  // Node writes nothing to a stdout that is a vsock (a kind it does not know): hence the pipe.
  const script = `rm -rf ${PLACE} && mkdir -p ${PLACE} && cd ${PLACE} && tar -xf - && ln -s /opt/gcs/build/native native &&
    { /opt/gcs/node suite.mjs; echo "code $?"; } 2>&1 | cat; cd / && rm -rf ${PLACE}`;
  const process = await execInUvm(
    session.host,
    session.bridge,
    { CommandArgs: ['/bin/sh', '-c', script], Environment: { PATH, ...env } },
    { stdin: true, stdout: true },
  );
  const pack = spawn('tar', ['-cf', '-', '-C', directory, '.'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = finish(session.bridge, NULL_CONTAINER, process);
  await pipeline(pack.stdout, process.stdin ?? expect.unreachable('no stdin'));
  return await ended;
}
