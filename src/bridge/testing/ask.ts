import type { RawMessage } from '../../../test/support/raw-client.ts';
import { FakeUvm } from './fake-uvm.ts';
import { BridgeSession } from './session.ts';

/** The error text of a reply. */
export const textOf = (reply: RawMessage): string => String(reply.body.ErrorMessage);

/** One request to a VM that gives these answers: the reply, and what the VM was asked. */
export async function ask(
  type: number,
  request: object | string,
  uvm = new FakeUvm(),
): Promise<{ reply: RawMessage; calls: FakeUvm['calls']; log: BridgeSession['log'] }> {
  await using session = new BridgeSession(uvm);
  const host = await session.host();
  const reply = await host.request(type, request);
  return { reply, calls: uvm.calls, log: session.log };
}
