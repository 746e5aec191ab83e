import type { Duplex } from 'node:stream';
import { ManagementError } from './errors.ts';
import type { RequestContext } from './handlers/handler.ts';
import { managementLimits } from './limits.ts';

/** Of errors that only mean: the peer has gone. */
const broken = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE']);

let served = 0;

/**
 * Does `work` with the stream of a token, which is closed afterwards, whatever came of it. When the
 * request is given up the stream is destroyed with that reason. ManagementError 'stream-broken'
 * when the peer went away in the middle, 'limit' when too many are served already.
 */
export async function serveStream<T>(
  { client, signal }: RequestContext,
  token: string,
  work: (stream: Duplex) => Promise<T>,
): Promise<T> {
  const { servedStreams } = managementLimits;
  if (served >= servedStreams) {
    throw new ManagementError('limit', `more than ${servedStreams} streams at one time`);
  }
  served += 1;
  try {
    const stream = (await client.claimStream(token, 'stream', signal)).stream();
    return await guarded(stream, signal, work);
  } finally {
    served -= 1;
  }
}

async function guarded<T>(
  stream: Duplex,
  signal: AbortSignal,
  work: (stream: Duplex) => Promise<T>,
): Promise<T> {
  const onAbort = (): void => void stream.destroy(signal.reason as Error);
  stream.on('error', () => {}); // Whoever uses the stream has it too.
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(stream);
  } catch (error) {
    signal.throwIfAborted();
    const code = (error as { code?: unknown } | null)?.code;
    if (typeof code !== 'string' || !broken.has(code)) throw error;
    throw new ManagementError(
      'stream-broken',
      'the stream was closed in the middle',
      {},
      { cause: error },
    );
  } finally {
    signal.removeEventListener('abort', onAbort);
    stream.destroy();
  }
}
