import { finished } from 'node:stream/promises';
import { execInUvm } from '../../test/support/raw-flows.ts';
import type { Figure } from '../figures.ts';
import { LeanClient } from '../lean-client.ts';
import { compareRpc } from '../measures/rpc.ts';
import type { VmContext } from './context.ts';

/** The empty request across the device, against a cat in the guest that has vsocks for its streams. */
export async function measureVmRpc({ bench, quick, progress }: VmContext): Promise<Figure[]> {
  await using session = await bench.open();
  const { host, bridge } = session;
  const command = { CommandArgs: ['/bin/cat'], Environment: {} };
  const { stdin, stdout } = await execInUvm(host, bridge, command, { stdin: true, stdout: true });
  if (!stdin || !stdout) throw new Error('cat has no streams');
  const figures = await compareRpc(
    new LeanClient(bridge.socket, bridge.socket, bridge.nextId()),
    new LeanClient(stdout, stdin, 1n),
    {
      name: 'cat in the guest',
      amount: quick ? { calls: 30, burst: 300 } : { calls: 200, burst: 2000 },
      progress,
    },
  );
  stdin.end();
  await finished(stdout, { writable: false });
  return figures.map((figure) => ({ ...figure, name: `vm.${figure.name}` }));
}
