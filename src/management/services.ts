import type { Logger, LogLevel } from '../log/logger.ts';
import type { ManagementOperations } from '../uvm/management.ts';

/** What the door needs of the agent around it. */
export interface DoorServices {
  readonly operations: ManagementOperations;
  readonly log: Logger;
  readonly logLevel: { get(): LogLevel; set(level: LogLevel): void };
  /** Sections of text about the VM, most important first. */
  readonly describe: () => string[];
  readonly facts: {
    readonly version: string;
    /** Name of the transport. */
    readonly transport: string;
    /** PID 1 is our init. */
    readonly ownMachine: boolean;
  };
}
