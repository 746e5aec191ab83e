/**
 * Numbers of the bridge protocol. A message type is four parts: the upper four bits say request
 * (1), reply (2) or notification (3), then come the category (0x01: compute system), the message
 * and its version.
 */
export const MessageType = {
  Create: 0x10100101,
  Start: 0x10100201,
  ShutdownGraceful: 0x10100301,
  ShutdownForced: 0x10100401,
  ExecuteProcess: 0x10100501,
  WaitForProcess: 0x10100601,
  SignalProcess: 0x10100701,
  ResizeConsole: 0x10100801,
  GetProperties: 0x10100901,
  ModifySettings: 0x10100a01,
  NegotiateProtocol: 0x10100b01,
  DumpStacks: 0x10100c01,
  DeleteContainerState: 0x10100d01,
} as const;

/** Name of a request, as the protocol writes it. */
export type RequestName = keyof typeof MessageType;

/** The only notification: a container has ended. Guest to host, message id 0. */
export const CONTAINER_NOTIFICATION = 0x30100101;

/** Container id that means the VM itself. */
export const NULL_CONTAINER_ID = '00000000-0000-0000-0000-000000000000';
/** ActivityId of a host that traces nothing. */
export const ZERO_GUID = '00000000-0000-0000-0000-000000000000';

/** The one protocol version that exists. */
export const PROTOCOL_VERSION = 4;

/** TimeoutInMs that means no limit. */
export const INFINITE_TIMEOUT = 0xffffffff;

/** Type of the reply to a request of this type; also for types nobody knows. */
export function replyTypeOf(requestType: number): number {
  return ((requestType & 0x0fffffff) | 0x20000000) >>> 0;
}

/** True for the types a host sends requests with: upper four bits 1. */
export function isRequestType(type: number): boolean {
  return type >>> 28 === 1;
}

const nameByType: ReadonlyMap<number, string> = new Map<number, string>([
  ...Object.entries(MessageType).map(([name, type]) => [type, name] as const),
  [CONTAINER_NOTIFICATION, 'ContainerNotification'],
  // Hosts have constants for these two; a Linux guest does not know them.
  [0x10100e01, 'UpdateContainer'],
  [0x10100f01, 'LifecycleNotification'],
]);

/** "Create (0x10100101)", or the number alone, for logs and errors. */
export function describeType(type: number): string {
  const hex = `0x${type.toString(16).padStart(8, '0')}`;
  const name = nameByType.get(type);
  return name === undefined ? hex : `${name} (${hex})`;
}
