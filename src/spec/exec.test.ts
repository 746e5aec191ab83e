import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { prepareExec } from './exec.ts';
import type { OciProcess, OciSpec } from './oci.ts';

function container(process: OciProcess = {}): OciSpec {
  const root = mkdtempSync(join(tmpdir(), 'gcs-exec-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/passwd'), 'app:x:500:600::/:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'audio:x:29:\n');
  return { process: { args: ['sh'], cwd: '/srv', ...process }, root: { path: root }, linux: {} };
}

describe('the process of an exec', () => {
  test('has the resource limits of the container in place of its own', async () => {
    const rlimits = [{ type: 'RLIMIT_CORE', hard: 18446744073709551615n, soft: 0 }];
    const own = [{ type: 'RLIMIT_NOFILE', hard: 5, soft: 5 }];
    expect(await prepareExec({ args: ['a'], rlimits: own }, container({ rlimits }))).toMatchObject({
      rlimits,
    });
    expect(await prepareExec({ args: ['a'], rlimits: own }, container())).not.toHaveProperty(
      'rlimits',
    );
  });

  test('runs as the user it names, whose name is not passed on', async () => {
    const user = { uid: 1, gid: 1, additionalGids: [3], username: 'app:audio' };
    const prepared = await prepareExec({ args: ['a'], user }, container());
    expect(prepared.user).toEqual({ uid: 500, gid: 29, additionalGids: [3] });
  });

  test('without a name runs as the container does, when that was given by name', async () => {
    const user = { uid: 500, gid: 600, username: 'app', additionalGids: [29] };
    const spec = container({ user });
    expect((await prepareExec({ args: ['a'] }, spec)).user).toEqual(user);
    expect((await prepareExec({ args: ['a'], user: { uid: 0, gid: 0 } }, spec)).user).toEqual(user);
  });

  test('without any name keeps the ids it was sent', async () => {
    const spec = container({ user: { uid: 500, gid: 600 } });
    const user = { uid: 7, gid: 8 };
    expect((await prepareExec({ args: ['a'], user }, spec)).user).toEqual(user);
    expect(await prepareExec({ args: ['a'] }, spec)).not.toHaveProperty('user');
  });

  test('an unknown user is refused with the field named', async () => {
    const process = { args: ['a'], user: { username: 'x' } };
    await expect(prepareExec(process, container(), 'P')).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'P.user.username',
    });
  });

  test('starts in the directory of the container unless it names one', async () => {
    expect((await prepareExec({ args: ['a'] }, container())).cwd).toBe('/srv');
    expect((await prepareExec({ args: ['a'], cwd: '' }, container())).cwd).toBe('/srv');
    expect((await prepareExec({ args: ['a'], cwd: '/tmp' }, container())).cwd).toBe('/tmp');
    expect((await prepareExec({ args: ['a'] }, { linux: {} })).cwd).toBe('/');
  });

  test('keeps terminal, console size, capabilities and unknown fields', async () => {
    const sent = {
      args: ['a'],
      cwd: '/',
      terminal: true,
      consoleSize: { height: 30, width: 100 },
      capabilities: { effective: ['CAP_KILL'] },
      scheduler: { policy: 'SCHED_IDLE', runtime: 9007199254740993n },
    };
    expect(await prepareExec(sent, container())).toEqual(sent);
  });

  test.each([
    [{}, 'OciProcess.args'],
    [{ args: [] }, 'OciProcess.args'],
    [{ args: ['a'], cwd: 'x' }, 'OciProcess.cwd'],
    [null, 'OciProcess'],
  ])('%j is refused with the field named', async (process, field) => {
    await expect(prepareExec(process, container())).rejects.toMatchObject({
      code: 'invalid-argument',
      field,
    });
  });
});
