/** A VM as an OCI runtime: bin/gcs-oci on the host, its containers in the guest. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { untilProcessEnds } from '../../src/os/process-end.ts';
import { makeBundle } from '../support/bundle.ts';
import { freshId, withManagement } from '../support/management.ts';
import { spec, testVm, useRootfs } from '../support/suite.ts';
import { inGuest } from '../support/vm-agent.ts';

useRootfs();

const GCS_OCI = fileURLToPath(new URL('../../bin/gcs-oci', import.meta.url));

test('a container of a VM is made, started, looked at, killed and deleted', async () => {
  if (testVm === undefined) throw new Error('no VM');
  const directory = mkdtempSync(join(tmpdir(), 'gcs-oci-vm-'));
  // Both sides see a bundle of the same path: the program reads it here, the agent there.
  const bundle = makeBundle(
    join(directory, 'bundle'),
    spec({ args: 'echo from the guest; exec sleep 1000' }),
  );
  const config = readFileSync(join(bundle, 'config.json'), 'utf8');
  await inGuest(testVm, `mkdir -p ${bundle} && cat >${bundle}/config.json <<'END'\n${config}\nEND`);
  try {
    await withManagement(async ({ path }) => {
      const common = ['--agent', path, '--root', join(directory, 'root')];
      const run = async (...argv: string[]) => {
        const output = join(directory, argv.includes('create') ? 'written' : 'out');
        const out = openSync(output, 'w');
        const child = spawn(GCS_OCI, [...common, ...argv], { stdio: ['ignore', out, out] });
        closeSync(out);
        const [code] = await once(child, 'exit');
        return { code, out: readFileSync(output, 'utf8') };
      };
      const id = freshId('oci');
      const pidFile = join(directory, 'pid');
      const created = await run('create', '--bundle', bundle, '--pid-file', pidFile, id);
      expect(created).toEqual({ code: 0, out: '' });
      expect(await run('start', id)).toEqual({ code: 0, out: '' });
      // What can be seen and waited for on this side is the process that stands for it.
      const standIn = Number(readFileSync(pidFile, 'utf8'));
      const state = await run('state', id);
      expect(JSON.parse(state.out)).toMatchObject({ id, status: 'running', pid: standIn, bundle });
      const exec = await run('exec', id, 'sh', '-c', 'uname -n; exit 3');
      expect(exec).toEqual({ code: 3, out: 'test\n' });
      expect(await run('kill', id, 'KILL')).toEqual({ code: 0, out: '' });
      await untilProcessEnds(standIn);
      expect(readFileSync(join(directory, 'written'), 'utf8')).toBe('from the guest\n');
      expect(JSON.parse((await run('state', id)).out)).toMatchObject({ status: 'stopped', pid: 0 });
      expect(await run('delete', id)).toEqual({ code: 0, out: '' });
      expect(await run('list', '-q')).toEqual({ code: 0, out: '' });
    });
  } finally {
    await inGuest(testVm, `rm -r ${directory}`);
    rmSync(directory, { recursive: true, force: true });
  }
});
