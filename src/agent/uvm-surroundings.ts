import type { RootLogger } from '../log/create-logger.ts';
import type { DescriptorStore } from '../os/descriptor-store.ts';
import type { Reaper } from '../os/reaper.ts';
import type { Power } from '../uvm/power.ts';
import type { Uvm } from '../uvm/uvm.ts';
import type { Transport } from '../vsock/transport.ts';
import type { AgentFlags } from './flags.ts';
import type { RuntimeChoices } from './runtimes.ts';

/** What the VM stands on; it stays its owner's. */
export interface UvmSurroundings {
  readonly flags: AgentFlags;
  readonly runtimes: RuntimeChoices;
  /** Undefined: nothing is kept. */
  readonly stateDirectory: string | undefined;
  readonly store: DescriptorStore;
  readonly transport: Transport;
  readonly reaper: Reaper;
  readonly log: RootLogger;
  /** Under our init in a VM: the memory of the machine is the agent's to manage, plugged one too. */
  readonly inVm: boolean;
  readonly power: Power;
}

export interface OpenedUvm extends AsyncDisposable {
  readonly uvm: Uvm;
}
