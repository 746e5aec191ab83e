import { MachineMemory } from '../cgroup/machine-memory.ts';
import { Journal } from '../state/journal.ts';
import { Uvm } from '../uvm/uvm.ts';
import { makeRuntimes } from './make-runtimes.ts';
import type { OpenedUvm, UvmSurroundings } from './uvm-surroundings.ts';

/** Makes the VM and takes up what an agent before this one has left of it. */
export async function openUvm(surroundings: UvmSurroundings): Promise<OpenedUvm> {
  const { flags, runtimes, log, inVm, stateDirectory, ...rest } = surroundings;
  await using stack = new AsyncDisposableStack();
  const memory = inVm || flags['manage-memory'] ? await manageMemory(surroundings) : undefined;
  if (memory !== undefined) stack.use(memory);
  const uvm = new Uvm({
    ...rest,
    ...makeRuntimes(runtimes, { reaper: rest.reaper, log }),
    journal: new Journal(stateDirectory, log.with({ target: 'state' })),
    logger: log,
    drainPolicy: {
      grandchildMs: flags['drain-timeout'],
      hostCloseMs: flags['host-close-timeout'],
    },
    memory,
  });
  await uvm.recover();
  // Not now: who waits for the VM may ask for something else.
  setImmediate(() => void uvm.prepare());
  const owned = stack.move();
  owned.defer(() => uvm.destroy());
  return { uvm, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** An agent that cannot limit the pods' memory is of more use than none. */
async function manageMemory({
  flags,
  inVm,
  log,
}: UvmSurroundings): Promise<MachineMemory | undefined> {
  try {
    return await MachineMemory.start({
      reserveBytes: flags['root-mem-reserve-bytes'],
      agentBytes: flags['gcs-mem-limit-bytes'],
      takePlugged: inVm,
      log,
    });
  } catch (error) {
    log.error('memory is not managed', { error: String(error) });
    return undefined;
  }
}
