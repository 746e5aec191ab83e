export type DeviceErrorCode =
  /** The front-end broke the vhost-user protocol: the session ends. */
  | 'protocol'
  /** The guest broke a virtqueue (an index, a descriptor, an address): the device stands still until it is reset. */
  | 'ring';

/** What a peer of the device did that cannot be overlooked. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly code: DeviceErrorCode;

  constructor(code: DeviceErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
