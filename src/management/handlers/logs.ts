import type { Duplex } from 'node:stream';
import type { ManagementOperations } from '../../uvm/management.ts';
import type { Params, ResultInput } from '../contract.ts';
import { ManagementError } from '../errors.ts';
import { LogFeed } from '../logs/feed.ts';
import { serveStream } from '../served-stream.ts';
import type { Handlers, RequestContext } from './handler.ts';

export function logHandlers(
  operations: ManagementOperations,
): Pick<Handlers, 'logs.read' | 'logs.reopen'> {
  return {
    'logs.read': (params, context) => readLog(operations, params, context),
    'logs.reopen': async ({ containerId }) => {
      await operations.reopenLog(containerId);
      return {};
    },
  };
}

async function readLog(
  operations: ManagementOperations,
  { containerId, stream: token, follow, offset, tail, since }: Params<'logs.read'>,
  context: RequestContext,
): Promise<ResultInput<'logs.read'>> {
  const { logPath } = await operations.state(containerId);
  if (logPath === undefined) {
    throw new ManagementError('not-supported', `container ${containerId} has no log`, {
      containerId,
    });
  }
  return serveStream(context, token, async (stream) => {
    using end = new Until(operations, containerId, context.signal);
    const request = {
      path: logPath,
      ...(follow === true ? { until: end.settled } : {}),
      ...(offset === undefined ? {} : { offset: Number(offset) }),
      ...(tail === undefined ? {} : { tail }),
      ...(since === undefined ? {} : { since }),
    };
    endWithPeer(stream);
    const result = await new LogFeed(request, stream, context.signal).run();
    context.signal.throwIfAborted();
    await flushed(stream);
    return result;
  });
}

/** The end of a container and of its log, whoever asks; its deletion too. */
class Until implements Disposable {
  readonly settled: Promise<void>;
  readonly #abandon = new AbortController();

  constructor(operations: ManagementOperations, id: string, signal: AbortSignal) {
    const over = AbortSignal.any([signal, this.#abandon.signal]);
    this.settled = operations.wait(id, { signal: over }).then(
      () => {},
      () => {},
    );
  }

  [Symbol.dispose](): void {
    this.#abandon.abort();
  }
}

/** Nothing is expected of the client but its end, which is the end of what it wants. */
function endWithPeer(stream: Duplex): void {
  stream.on('end', () => stream.destroy());
  stream.resume();
}

async function flushed(stream: Duplex): Promise<void> {
  if (stream.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.once('close', resolve);
  stream.end(resolve);
  await promise;
}
