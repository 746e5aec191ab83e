import { describe } from 'vitest';
import { VMADDR_CID_LOCAL } from '../../src/os/socket.ts';
import { DevNullTransport } from '../../src/vsock/dev-null.ts';
import { VsockTransport } from '../../src/vsock/vsock.ts';
import { hybridPair, spawnPeer } from '../support/hybrid-pair.ts';
import { stdioPair } from '../support/stdio-pair.ts';
import { allBut, describeTransport } from '../support/transport-compliance.ts';
import type { TransportPair } from '../support/transport-pair.ts';

describeTransport('hybrid:PATH, the guest dialing the emulated host', () => hybridPair('guest'));
describeTransport('hybrid:PATH, the emulated host dialing the guest', () => hybridPair('host'));

const overOnePair = [
  'carries data both ways at once',
  'delivers what was sent before the other end accepted',
  'keeps the way to the dialer open when the dialer ends its own',
  'keeps the way to the acceptor open when the acceptor ends its own',
  'carries 65535 bytes written at once',
  'carries 65536 bytes written at once',
  'carries 65537 bytes written at once',
  'carries 1 GiB each way through streams',
  'stops a writer whose reader does not read',
  'sees the end when the other end goes with unread data',
] as const;
const onDescriptors = [
  'carries 1 GiB each way with a process on the raw descriptor',
  'gives away a descriptor that is non-blocking and close-on-exec',
  'can be used in one way only',
] as const;
const ONE_PAIR = 'standard input and output are one connection, and nobody can listen';

describeTransport('stdio over one socket', () => stdioPair('socket'), {
  notApplicable: allBut([...overOnePair, ...onDescriptors], ONE_PAIR),
});
describeTransport('stdio over two sockets', () => stdioPair('two sockets'), {
  notApplicable: allBut(overOnePair, `${ONE_PAIR}; two descriptors cannot be given away as one`),
});
describeTransport('stdio over two pipes', () => stdioPair('pipes'), {
  notApplicable: allBut(overOnePair, `${ONE_PAIR}; two descriptors cannot be given away as one`),
});

describeTransport('dev-null', devNullPair, {
  notApplicable: allBut(
    [
      'refuses numbers that are no ports',
      'fails pending and later accepts once the listener is closed',
      'fails a dial whose signal has aborted',
      'fails everything after the transport was disposed',
    ],
    'there is nobody at the other end',
  ),
});

async function devNullPair(): Promise<TransportPair> {
  const transport = new DevNullTransport();
  let port = 1;
  return {
    dialer: transport,
    listener: transport,
    port: () => port++,
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
}

// On a machine that is itself a guest, AF_VSOCK leads to its hypervisor: only a VM of our own that
// says so runs these, over its loopback.
describe.runIf(process.env.GCS_TEST_VSOCK === '1')('in a virtual machine', () => {
  let port = 10_000;
  const local = async (): Promise<TransportPair> => {
    const dialer = new VsockTransport({ cid: VMADDR_CID_LOCAL });
    const listener = new VsockTransport({ cid: VMADDR_CID_LOCAL });
    return {
      dialer,
      listener,
      port: () => port++,
      spawnDialer: (target) => spawnPeer('vsock', `${VMADDR_CID_LOCAL}`, target),
      async [Symbol.asyncDispose]() {
        await dialer[Symbol.asyncDispose]();
        await listener[Symbol.asyncDispose]();
      },
    };
  };
  // An emulated processor moves tens of megabytes a second.
  describeTransport('vsock over loopback', local, { timeoutMs: 600_000 });
});
