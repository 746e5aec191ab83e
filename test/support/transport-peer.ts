/**
 * A process that dials and then does nothing, to be killed: `node transport-peer.ts guest|host PATH
 * PORT` for the two ends of hybrid:PATH, `vsock CID PORT` for a virtual machine.
 */
import { EmulatedHost } from '../../src/vsock/emulator/host.ts';
import { HybridTransport } from '../../src/vsock/hybrid.ts';
import type { Transport } from '../../src/vsock/transport.ts';
import { VsockTransport } from '../../src/vsock/vsock.ts';

function transportOf(kind: string, where: string): Transport {
  switch (kind) {
    case 'guest':
      return new HybridTransport(where);
    case 'host':
      return new EmulatedHost(where);
    case 'vsock':
      return new VsockTransport({ cid: Number(where) });
    default:
      throw new Error(`no such peer: ${kind}`);
  }
}

const [kind = '', where = '', port = ''] = process.argv.slice(2);
const connection = await transportOf(kind, where).dial(Number(port));
// The descriptor is held and not read; the input pipe keeps the process until it is killed.
const held = connection.takeFd();
process.stdin.resume();
process.stdout.write('connected\n');
process.stdin.on('end', () => held.close());
