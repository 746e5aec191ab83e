import { execFileSync } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { finish, freshId, withManagement } from '../support/management.ts';
import { shellProcess, useRootfs } from '../support/suite.ts';

useRootfs();

test('the door of a VM is on its AF_VSOCK ports: requests, streams with half-close, copies', async () => {
  await withManagement(async (managed) => {
    const info = await managed.call('system.info', {});
    expect(info).toMatchObject({ agent: { transport: 'vsock' }, machine: { ownMachine: true } });
    const id = freshId('vm');
    const init = await managed.run(
      id,
      { args: 'cat; exit 4' },
      { stdin: true, stdout: true },
      { openStdin: true },
    );
    const process = await managed.client.exec(id, shellProcess('cat >&2; echo out'), {
      stdin: true,
      stdout: true,
      stderr: true,
    });
    process.stdin?.write('through the device');
    expect(await finish(process)).toEqual({
      stdout: 'out\n',
      stderr: 'through the device',
      exitCode: 0,
    });
    const params = { id, path: '/etc/passwd' };
    const { stream, done } = await managed.client.stream('container.copyOut', params);
    const [archive] = await Promise.all([buffer(stream), done]);
    expect(execFileSync('tar', ['-xOf', '-'], { input: archive }).toString()).toContain('root:');
    init.stdin?.write('last words');
    expect(await finish(init)).toMatchObject({ stdout: 'last words', exitCode: 4 });
    await managed.call('container.delete', { id });
  });
});
