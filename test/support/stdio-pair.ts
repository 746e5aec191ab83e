import type { Fd } from '../../src/os/fd.ts';
import { pipe } from '../../src/os/pipe.ts';
import { socketPair } from '../../src/os/socket.ts';
import { BRIDGE_PORT } from '../../src/vsock/ports.ts';
import { StdioTransport } from '../../src/vsock/stdio.ts';
import type { StreamPair } from '../../src/vsock/stdio-connection.ts';
import type { Transport } from '../../src/vsock/transport.ts';
import type { TransportPair } from './transport-pair.ts';

export type StdioKind = 'socket' | 'two sockets' | 'pipes';

/** A child's descriptors 0 and 1, and its parent's ends of them. */
function streams(kind: StdioKind): { child: StreamPair; parent: StreamPair } {
  switch (kind) {
    case 'socket': {
      const [child, parent] = socketPair();
      return {
        child: { input: child, output: child.dup() },
        parent: { input: parent, output: parent.dup() },
      };
    }
    case 'two sockets': {
      const [childIn, parentOut] = socketPair();
      const [parentIn, childOut] = socketPair();
      return {
        child: { input: childIn, output: childOut },
        parent: { input: parentIn, output: parentOut },
      };
    }
    case 'pipes': {
      const down = pipe();
      const up = pipe();
      return {
        child: { input: down.read, output: up.write },
        parent: { input: up.read, output: down.write },
      };
    }
  }
}

/** The stdio transport as "dialer"; the "listener" accepts once, the parent's ends of the same streams. */
export async function stdioPair(kind: StdioKind): Promise<TransportPair> {
  const { child, parent } = streams(kind);
  const dialer = new StdioTransport({ open: () => child });
  const other = new StdioTransport({ open: () => parent });
  const listener: Transport = {
    name: 'parent',
    dial: (port, options) => other.dial(port, options),
    listen: async (port) => ({
      port,
      accept: () => other.dial(port),
      close: () => {},
      [Symbol.asyncDispose]: async () => {},
    }),
    [Symbol.asyncDispose]: () => other[Symbol.asyncDispose](),
  };
  const all: Fd[] = [child.input, child.output, parent.input, parent.output];
  return {
    dialer,
    listener,
    port: () => BRIDGE_PORT,
    async [Symbol.asyncDispose]() {
      for (const fd of all) fd.close();
    },
  };
}
