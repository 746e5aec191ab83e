import { Interrupted, ReaderGone } from '../exit-codes.ts';

/** For what a user ends with Ctrl-C as a matter of course: the exit code says it, no text does. */
export async function quietly(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Interrupted || error instanceof ReaderGone) return error.exitCode;
    throw error;
  }
}
