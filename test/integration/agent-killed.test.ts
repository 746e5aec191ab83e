import { expect, test } from 'vitest';
import { OutputSoFar } from '../support/raw-flows.ts';
import { useRootfs } from '../support/suite.ts';
import { withSupervised } from '../support/supervised-agent.ts';

useRootfs();

function told(milliseconds: number): void {
  console.log(`negotiated ${Math.round(milliseconds)} ms after the kill`);
}

const stdin = { stdin: true, stdout: true, stderr: true };

test('a container that runs goes on: its streams, its exit code, its notification', async () => {
  await withSupervised({}, async (session) => {
    await session.create('c1', { args: ['sh', '-c', 'echo one; read x; echo "two $x"; exit 7'] });
    const init = await session.startInit('c1', stdin);
    const output = new OutputSoFar(init.stdout);
    await output.contains('one\n');
    told(await session.supervised.replace());
    init.stdin?.write('more\n');
    expect(await session.wait('c1', init.pid)).toBe(7);
    await output.contains('two more\n');
    expect(output.text).toBe('one\ntwo more\n');
    expect((await session.notification('c1')).body).toMatchObject({ ContainerId: 'c1' });
    init.stdin?.destroy();
    init.stderr?.destroy();
    await session.delete('c1');
  });
});
