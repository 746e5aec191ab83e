import { readFileSync } from 'node:fs';
import type { RootLogger } from '../log/create-logger.ts';
import { ManagementDoor } from '../management/door.ts';
import type { Transport } from '../vsock/transport.ts';
import type { AgentFlags } from './flags.ts';
import type { UvmOpener } from './uvm-opener.ts';
import { agentVersion } from './version.ts';

const KERNEL_ARGUMENT = 'gcs.management=off';

export interface DoorSurroundings {
  readonly flags: AgentFlags;
  readonly transport: Transport;
  readonly uvm: UvmOpener;
  readonly log: RootLogger;
  /** PID 1 is our init: then the kernel's arguments are the agent's. */
  readonly inVm: boolean;
}

/** Opens the management door unless it is to stay shut; undefined when it is shut. */
export async function openManagementDoor(
  surroundings: DoorSurroundings,
): Promise<ManagementDoor | undefined> {
  const { transport, uvm, log, inVm } = surroundings;
  const reason = reasonToStayShut(surroundings);
  if (reason !== undefined) {
    log.info('the management door stays shut', { reason });
    return undefined;
  }
  return ManagementDoor.open({
    transport,
    log: log.with({ target: 'management' }),
    load: async () => {
      const [{ ManagementServer }, opened] = await Promise.all([
        import('../management/server.ts'),
        uvm.open(),
      ]);
      return new ManagementServer({
        operations: await opened.management(),
        log: log.with({ target: 'management' }),
        logLevel: {
          get: () => log.level,
          set: (level) => {
            log.level = level;
          },
        },
        describe: () => opened.describe(),
        facts: { version: agentVersion, transport: transport.name, ownMachine: inVm },
      });
    },
  });
}

/** Why the door is not opened; undefined when it is. */
export function reasonToStayShut(
  { flags, inVm }: Pick<DoorSurroundings, 'flags' | 'inVm'>,
  kernelArguments = (): string => readFileSync('/proc/cmdline', 'utf8'),
): string | undefined {
  if (flags.management === 'off') return '-management=off';
  // Whoever may not create over the bridge may not do so here either.
  if (flags['initial-policy-stance'] === 'deny') return '-initial-policy-stance=deny';
  if (!inVm) return undefined;
  return kernelArguments().trim().split(/\s+/).includes(KERNEL_ARGUMENT)
    ? KERNEL_ARGUMENT
    : undefined;
}
