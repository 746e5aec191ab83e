/** One entry of a log in the CRI's format. */
export interface CriLogEntry {
  /** As it stands there: RFC 3339 with up to nine digits of a second. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  /** The line goes on in the stream's next entry. */
  readonly partial: boolean;
  /** What the process wrote, its newline included: all entries of a stream in a row are the stream. */
  readonly bytes: Buffer;
  /** Which file it stands in (its inode): a name is another file's after a rotation. */
  readonly file: string;
  /** Where it begins in its file, and where the next one does. */
  readonly offset: number;
  readonly end: number;
}

const SPACE = 0x20;
const COLON = 0x3a;
const PARTIAL = 'P'.charCodeAt(0);
const FULL = 'F'.charCodeAt(0);
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/**
 * The parts of `line`, which ends with its newline: `TIME STREAM TAGS CONTENT`. The first of the tags
 * (separated by colons) is P or F; others are for whoever knows them. Undefined when it is no entry.
 */
export function parseCriLogLine(
  line: Buffer,
): Pick<CriLogEntry, 'time' | 'stream' | 'partial' | 'bytes'> | undefined {
  const afterTime = line.indexOf(SPACE);
  const afterStream = afterTime < 0 ? -1 : line.indexOf(SPACE, afterTime + 1);
  const afterTags = afterStream < 0 ? -1 : line.indexOf(SPACE, afterStream + 1);
  // No time is longer than "2026-01-31T12:00:00.123456789+00:00".
  if (afterTags < 0 || afterTime > 35) return undefined;
  const time = line.toString('latin1', 0, afterTime);
  const stream = line.toString('latin1', afterTime + 1, afterStream);
  if (!timePattern.test(time) || (stream !== 'stdout' && stream !== 'stderr')) return undefined;
  const [tag, behind] = [line[afterStream + 1], line[afterStream + 2]];
  if ((tag !== PARTIAL && tag !== FULL) || (behind !== SPACE && behind !== COLON)) return undefined;
  const partial = tag === PARTIAL;
  const bytes = line.subarray(afterTags + 1, partial ? line.length - 1 : line.length);
  return { time, stream, partial, bytes };
}
