import type { Handler } from './handlers/handler.ts';
import { Hresult, HresultError } from './hresult.ts';
import { MessageType, PROTOCOL_VERSION } from './message-types.ts';
import { negotiateReply, negotiateRequest } from './messages/negotiate.ts';
import { type Routes, routeOf } from './route.ts';

export const negotiate: Handler<'NegotiateProtocol'> = ({ MinimumVersion, MaximumVersion }) => {
  if (MinimumVersion > PROTOCOL_VERSION || MaximumVersion < PROTOCOL_VERSION) {
    throw new HresultError(
      Hresult.UnsupportedProtocolVersion,
      `the versions ${MinimumVersion} to ${MaximumVersion} do not hold ${PROTOCOL_VERSION}`,
    );
  }
  return {
    Version: PROTOCOL_VERSION,
    Capabilities: {
      SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
      RuntimeOsType: 'Linux',
      GuestDefinedCapabilities: {
        NamespaceAddRequestSupported: true,
        SignalProcessSupported: true,
        DumpStacksSupported: true,
        DeleteContainerStateSupported: true,
      },
    },
  };
};

/** All that a host can ask before anything else. */
export const negotiation: Routes = new Map([
  [
    MessageType.NegotiateProtocol,
    routeOf('NegotiateProtocol', { request: negotiateRequest, reply: negotiateReply }, negotiate),
  ],
]);
