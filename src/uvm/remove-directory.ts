import type { Logger } from '../log/logger.ts';
import { faultPoint } from '../os/fault-point.ts';
import { removeHostDirectory } from './host-directory.ts';

/** Directories that stay are no reason to fail what has been done; the log says which and why. */
export async function removeDirectory(
  directory: string,
  madeByUs: boolean,
  logger: Logger,
): Promise<void> {
  faultPoint(`before ${directory} is removed`);
  try {
    const outcome = await removeHostDirectory(directory, { madeByUs });
    if (typeof outcome === 'object') {
      logger.debug('directory kept', { directory, reason: outcome.kept });
    }
  } catch (error) {
    logger.error('directory cannot be removed', { directory, error: String(error) });
  }
}
