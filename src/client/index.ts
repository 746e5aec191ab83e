/**
 * The host's half of the bridge: connect to a guest agent, run containers in its VM. The protocol
 * is described in PROTOCOL.md.
 *
 *     await using host = new EmulatedHost('/run/vm/vsock');
 *     await using guest = await GuestClient.accept(host);
 *     await using container = await guest.createContainer({
 *       id: 'hello',
 *       bundle: '/run/gcs/c/hello',
 *       spec: defaultSpec({ args: ['echo', 'hello'], rootfs: '/srv/rootfs' }),
 *     });
 *     const init = await container.start();
 *     init.stdout?.pipe(process.stdout);
 *     console.log('exit code', await init.exited);
 */
export { EmulatedHost } from '../vsock/emulator/host.ts';
export type { BridgeOptions, RpcOptions } from './bridge.ts';
export { GuestContainer } from './container.ts';
export { BridgeError, type BridgeErrorCode, GuestError, type GuestErrorRecord } from './errors.ts';
export {
  type ClientOptions,
  type ConnectOptions,
  type CreateOptions,
  type GuestCapabilities,
  GuestClient,
  type VmProcessOptions,
} from './guest.ts';
export type { InputStream } from './input-stream.ts';
export type { ContainerExit } from './notifications.ts';
export type { OutputStream } from './output-stream.ts';
export { GuestProcess, type WaitOptions } from './process.ts';
export {
  DEFAULT_PATH,
  defaultProcess,
  defaultSpec,
  linuxResources,
  type ResourceOptions,
  type SpecOptions,
} from './spec.ts';
export type { GuestStatistics, MemoryUsage } from './statistics.ts';
export type { ProcessStreams, StreamOptions } from './stdio.ts';
