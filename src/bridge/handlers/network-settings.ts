import { networkAdapter } from '../messages/network.ts';
import { resource } from './resource.ts';

export const network = resource({
  settings: networkAdapter,
  requests: ['Add', 'Remove'],
  ofContainers: false,
  apply: async ({ requestType, settings }, { uvm }) => {
    if (requestType === 'Remove') await uvm.network.remove(settings);
    else await uvm.network.add(settings);
  },
});
