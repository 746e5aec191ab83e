/** Why a VM could not be started, found or ended; the message names the remedy. */
export type VmErrorCode =
  /** No VM of that name. */
  | 'not-found'
  /** A VM of that name runs. */
  | 'exists'
  /** Kernel, initramfs, root image, QEMU or the vsock device is missing. */
  | 'missing'
  /** The VM ended, or did not come up in time. */
  | 'ended'
  /** QEMU refused a command. */
  | 'refused';

export class VmError extends Error {
  override readonly name = 'VmError';
  readonly code: VmErrorCode;

  constructor(code: VmErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
