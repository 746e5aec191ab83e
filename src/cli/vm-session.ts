import type { ConnectOptions } from '../client/guest.ts';
import { GuestClient } from '../client/guest.ts';
import { EmulatedHost } from '../vsock/emulator/host.ts';
import type { Transport } from '../vsock/transport.ts';
import { VsockTransport } from '../vsock/vsock.ts';
import type { VmTarget } from './vm-target.ts';

/** The host's side of a VM's vsock. */
export function vmHost({ directory, state }: VmTarget): Transport {
  switch (state.transport) {
    case 'vsock':
      return new VsockTransport({ cid: state.cid });
    case 'hybrid':
    case 'listen':
      return new EmulatedHost(directory.vsock);
  }
}

/** The VM's agent, whichever side dials. */
export function vmGuest(
  { state }: VmTarget,
  host: Transport,
  options: ConnectOptions,
): Promise<GuestClient> {
  return state.transport === 'listen'
    ? GuestClient.dial(host, options)
    : GuestClient.accept(host, options);
}
