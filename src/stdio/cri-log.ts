import { constants } from 'node:fs';
import { basename, dirname } from 'node:path/posix';
import { CriLogFile, type CriLogFileOptions } from '../os/cri-log-file.ts';
import { openFile } from '../os/pipe.ts';
import { defaultCriLogLimits } from './limits.ts';

/**
 * The log of one process in the format of the Kubernetes container runtime interface, one entry a
 * line: `2026-01-31T12:00:00.123456789Z stdout F content`. Tag F ends a line of the stream, P does
 * not: it is a part of a line that is longer than 8 KiB or that was written in parts. Rotated files
 * have the names `path.1` (the youngest), `path.2` and so on.
 */
export type CriLog = CriLogFile;

/**
 * Opens a log to append; default bounds are in limits.ts. The last name of the path may be no link.
 * Throws OsError (ENOENT for a missing directory, ENODEV for anything but a regular file).
 */
export function openCriLog(path: string, options: CriLogFileOptions = {}): CriLog {
  using directory = openFile(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return new CriLogFile(directory, basename(path), { ...defaultCriLogLimits, ...options });
}
