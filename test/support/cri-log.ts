import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';

/** An entry of a log as our writer makes it. */
export interface CriEntry {
  readonly stream: 'stdout' | 'stderr';
  /** What the process wrote, the newline of a full line included: all of a stream in a row are the stream. */
  readonly bytes: Buffer;
}

const line = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([PF]) ([^\n]*)\n/;

/** All entries of a log, those of its rotated files first. Throws at a line that is none. */
export function readCriLog(path: string): CriEntry[] {
  return namesOf(path).flatMap((name) => parse(readFileSync(name, 'latin1'), name));
}

function namesOf(path: string): string[] {
  const prefix = `${basename(path)}.`;
  const numbers = readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((one, other) => other - one);
  return [...numbers.map((number) => `${path}.${number}`), path];
}

function parse(text: string, name: string): CriEntry[] {
  const entries: CriEntry[] = [];
  for (let rest = text; rest !== ''; ) {
    const [whole, stream, tag, content] = line.exec(rest) ?? [];
    if (whole === undefined) throw new Error(`${name}: no entry: ${rest.slice(0, 100)}`);
    entries.push({
      stream: stream as CriEntry['stream'],
      bytes: Buffer.from(`${content}${tag === 'F' ? '\n' : ''}`, 'latin1'),
    });
    rest = rest.slice(whole.length);
  }
  return entries;
}
