import type { OciProcess } from '../../spec/oci.ts';
import type { GuestProcess } from '../guest-process.ts';
import type { AttachHub } from './attach-hub.ts';

/** A process that was exec'd through the door. */
export interface OwnProcess {
  readonly processId: string;
  readonly spec: OciProcess;
  /** Undefined while it is being started. */
  guest: GuestProcess | undefined;
  readonly hub: AttachHub | undefined;
}
