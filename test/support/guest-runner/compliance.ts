/** The compliance suite of transports over AF_VSOCK loopback, as a program for a guest. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { VMADDR_CID_LOCAL } from '../../../src/os/socket.ts';
import { VsockTransport } from '../../../src/vsock/vsock.ts';
import { describeTransport } from '../transport-compliance.ts';

let port = 10_000;

describeTransport(
  'vsock over loopback',
  async () => {
    const dialer = new VsockTransport({ cid: VMADDR_CID_LOCAL });
    const listener = new VsockTransport({ cid: VMADDR_CID_LOCAL });
    return {
      dialer,
      listener,
      port: () => port++,
      spawnDialer: (target) =>
        spawn(
          process.execPath,
          [join(import.meta.dirname, 'peer.mjs'), 'vsock', `${VMADDR_CID_LOCAL}`, `${target}`],
          { stdio: ['pipe', 'pipe', 'inherit'] },
        ),
      async [Symbol.asyncDispose]() {
        await dialer[Symbol.asyncDispose]();
        await listener[Symbol.asyncDispose]();
      },
    };
  },
  // An emulated processor moves tens of megabytes a second.
  { timeoutMs: 300_000 },
);
