import { AgentError } from '../errors.ts';
import type { UvmOperations } from '../uvm/operations.ts';

function denied(operation: string) {
  return async (): Promise<never> => {
    throw new AgentError('failed', `${operation} is denied by policy`, { operation });
  };
}

/**
 * The stance "deny": nothing is started, changed or looked into. What ends things stays possible,
 * and so does waiting for it.
 */
export function closedDoor(uvm: UvmOperations): UvmOperations {
  return {
    createContainer: denied('creating a container'),
    startInit: denied('starting a container'),
    exec: denied('executing a process in a container'),
    execInUvm: denied('executing a process in the VM'),
    wait: (...args) => uvm.wait(...args),
    signal: denied('signalling a process'),
    resize: denied('resizing a console'),
    shutdownContainer: (...args) => uvm.shutdownContainer(...args),
    shutdownUvm: (...args) => uvm.shutdownUvm(...args),
    processes: denied('listing processes'),
    statistics: denied('reading statistics'),
    updateResources: denied('updating resources'),
    deleteContainer: (...args) => uvm.deleteContainer(...args),
    refreshPodsLimit: () => uvm.refreshPodsLimit(),
    network: {
      add: denied('adding a network adapter'),
      remove: (...args) => uvm.network.remove(...args),
    },
    resources: {
      add: denied('adding a resource'),
      remove: denied('removing a resource'),
      unplugDisk: denied('removing a disk'),
      awaitPciDevice: denied('waiting for a device'),
    },
    securityPolicy: {
      set: denied('setting a security policy'),
      addFragment: denied('adding to the security policy'),
    },
    describe: () => ['policy: deny'],
    onContainerExit: (receiver) => uvm.onContainerExit(receiver),
  };
}
