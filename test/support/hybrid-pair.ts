import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EmulatedHost } from '../../src/vsock/emulator/host.ts';
import { PortAllocator } from '../../src/vsock/emulator/port-allocator.ts';
import { HybridTransport } from '../../src/vsock/hybrid.ts';
import type { Port } from '../../src/vsock/transport.ts';
import type { TransportPair } from './transport-pair.ts';

const PEER = join(import.meta.dirname, 'transport-peer.ts');

/** Starts transport-peer.ts. */
export function spawnPeer(kind: string, where: string, port: Port): ChildProcess {
  return spawn(process.execPath, [PEER, kind, where, `${port}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

/**
 * Guest and emulated host over one PATH in a directory of its own. Disposing closes both and fails
 * when a socket file is left.
 */
export async function hybridPair(dialing: 'guest' | 'host'): Promise<TransportPair> {
  const directory = await mkdtemp('/tmp/gcs-vsock-');
  const path = join(directory, 'v.sock');
  const guest = new HybridTransport(path);
  const host = new EmulatedHost(path);
  const ports = new PortAllocator();
  return {
    dialer: dialing === 'guest' ? guest : host,
    listener: dialing === 'guest' ? host : guest,
    port: () => ports.next(),
    spawnDialer: (port) => spawnPeer(dialing, path, port),
    async [Symbol.asyncDispose]() {
      await guest[Symbol.asyncDispose]();
      await host[Symbol.asyncDispose]();
      const left = await readdir(directory);
      await rm(directory, { recursive: true });
      if (left.length > 0) throw new Error(`socket files left: ${left.join(', ')}`);
    },
  };
}
