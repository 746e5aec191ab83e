/**
 * The host's half of the management door; MANAGEMENT.md describes it.
 *
 *     await using client = await connectManagement('/run/vm/vsock');
 *     await client.call('container.create', { id: 'hello', spec });
 *     const init = await client.start('hello', { stdout: true });
 *     init.stdout?.pipe(process.stdout);
 *     const { exitCode } = await init.wait();
 *     await client.call('container.delete', { id: 'hello' });
 */
export {
  type ConnectManagementOptions,
  connectManagement,
  ManagementClient,
  type StreamedMethod,
} from './client.ts';
export { type CallOptions, ManagementConnection } from './connection.ts';
export {
  ManagementConnectionError,
  type ManagementConnectionErrorCode,
  ManagementRequestError,
} from './errors.ts';
export type { EventItem, FollowOptions, ManagementEvent } from './events.ts';
export { ManagedProcess, type ProcessExit, type WantedStreams } from './process.ts';
export type { OpenStream } from './streams.ts';
