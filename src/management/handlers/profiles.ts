import { Session } from 'node:inspector/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { getHeapSnapshot } from 'node:v8';
import { ManagementError } from '../errors.ts';
import { serveStream } from '../served-stream.ts';
import type { Handlers, RequestContext } from './handler.ts';

type ProfileMethods = 'system.heapSnapshot' | 'system.cpuProfile';

/** Two at one time would measure each other. */
class Once {
  #taken = false;

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken) throw new ManagementError('limit', 'another one is under way');
    this.#taken = true;
    try {
      return await work();
    } finally {
      this.#taken = false;
    }
  }
}

export function profileHandlers(): Pick<Handlers, ProfileMethods> {
  const once = new Once();
  return {
    'system.heapSnapshot': ({ stream }, context) =>
      once.run(() => send(context, stream, async () => getHeapSnapshot())),
    'system.cpuProfile': ({ stream, seconds, progressToken }, context) =>
      once.run(() =>
        send(context, stream, async () => {
          context.progress(progressToken, { done: 0 });
          const profile = await cpuProfile(seconds, context.signal);
          context.progress(progressToken, { done: 1 });
          return Readable.from([profile]);
        }),
      ),
  };
}

async function send(
  context: RequestContext,
  token: string,
  make: () => Promise<Readable>,
): Promise<{ bytes: number }> {
  return serveStream(context, token, async (stream) => {
    let bytes = 0;
    const source = await make();
    const counted = async function* (chunks: AsyncIterable<string | Buffer>) {
      for await (const chunk of chunks) {
        bytes += Buffer.byteLength(chunk);
        yield chunk;
      }
    };
    await pipeline(source, counted, stream);
    return { bytes };
  });
}

/** V8's sampling profiler for some seconds, as JSON. */
async function cpuProfile(seconds: number, signal: AbortSignal): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await delay(seconds * 1000, undefined, { signal });
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
