import { writeSync } from 'node:fs';
import { FdConnection } from '../../vsock/connection.ts';
import { MANAGEMENT_STREAM_PORT } from '../../vsock/ports.ts';
import type { Connection, Transport } from '../../vsock/transport.ts';
import type { CallOptions, ManagementConnection } from './connection.ts';

/** A connection that the agent will take as the stream of one request, by its token. */
export interface OpenStream {
  readonly token: string;
  /** As a Duplex or as a raw descriptor; half-close works both ways. */
  readonly connection: Connection;
}

/** Opens streams, connected. The caller owns them. */
export async function openStreams(
  transport: Transport,
  rpc: ManagementConnection,
  count: number,
  options: CallOptions = {},
): Promise<OpenStream[]> {
  const { tokens } = await rpc.call('stream.open', { count }, options);
  const { signal } = options;
  const opened: OpenStream[] = [];
  try {
    for (const token of tokens) {
      opened.push({ token, connection: await dialStream(transport, token, signal) });
    }
    return opened;
  } catch (error) {
    for (const { connection } of opened) connection.close();
    throw error;
  }
}

async function dialStream(
  transport: Transport,
  token: string,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const dialed = await transport.dial(
    MANAGEMENT_STREAM_PORT,
    signal === undefined ? {} : { signal },
  );
  const fd = dialed.takeFd();
  try {
    // Its buffer is empty: so few bytes go in at once, or the connection is broken.
    writeSync(fd.raw, `${token}\n`);
    return new FdConnection(fd, MANAGEMENT_STREAM_PORT, transport.name);
  } catch (error) {
    fd.close();
    throw error;
  }
}
