import type { Logger } from '../log/logger.ts';
import { removeHostDirectory } from './host-directory.ts';

/** Directories that stay are no reason to fail what has been done; the log says which and why. */
export async function removeDirectory(
  directory: string,
  madeByUs: boolean,
  logger: Logger,
): Promise<void> {
  try {
    const outcome = await removeHostDirectory(directory, { madeByUs });
    if (typeof outcome === 'object') {
      logger.debug('directory kept', { directory, reason: outcome.kept });
    }
  } catch (error) {
    logger.error('directory cannot be removed', { directory, error: String(error) });
  }
}
