import { type Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ImageError } from '../../image/errors.ts';
import type { ManagementOperations } from '../../uvm/management.ts';
import type { Params } from '../contract.ts';
import { ContainerRoot } from '../copy/container-root.ts';
import { pack } from '../copy/pack.ts';
import type { Tally } from '../copy/tally.ts';
import { unpack } from '../copy/unpack.ts';
import { ManagementError } from '../errors.ts';
import { serveStream } from '../served-stream.ts';
import type { Handlers, RequestContext } from './handler.ts';

/** Milliseconds between two reports of progress. */
const REPORT_MS = 250;

type CopyParams = Params<'container.copyIn'>;

export function copyHandlers(
  operations: ManagementOperations,
): Pick<Handlers, 'container.copyIn' | 'container.copyOut'> {
  return {
    'container.copyIn': (params, context) =>
      copy(operations, params, context, async (root, stream, tally) => {
        try {
          await unpack(root, params.path, stream, tally);
        } catch (error) {
          if (!(error instanceof ImageError)) throw error;
          throw new ManagementError('invalid-argument', error.message, {}, { cause: error });
        }
      }),
    'container.copyOut': (params, context) =>
      copy(operations, params, context, async (root, stream, tally) => {
        await pipeline(
          Readable.from(pack(root, params.path, tally), { objectMode: false }),
          stream,
        );
      }),
  };
}

async function copy(
  operations: ManagementOperations,
  { id, stream: token, progressToken }: CopyParams,
  context: RequestContext,
  work: (root: ContainerRoot, stream: Duplex, tally: Tally) => Promise<void>,
): Promise<Tally> {
  using root = await ContainerRoot.of(operations, id);
  return await serveStream(context, token, async (stream) => {
    const tally: Tally = { entries: 0, bytes: 0 };
    const report = setInterval(() => context.progress(progressToken, { ...tally }), REPORT_MS);
    try {
      await work(root, stream, tally);
      return tally;
    } finally {
      clearInterval(report);
    }
  });
}
