/**
 * Takes the place of src/os/fault-point.ts in a bundle made for tests (fault-agent.ts): kills the
 * agent at one of the points it passes, or lists them. What it is to do stands in the file that
 * GCS_TEST_FAULTS names; without one it does nothing. Lines, each for one life of the agent:
 *
 *   trace FILE     appends the name of each point to FILE
 *   kill N         at the N-th point from now on
 *   at REGEXP      at the next point of such a name
 *
 * Before a kill its line is removed from the file, and the name of the point appended to the file
 * of the same name with ".done".
 */
import { appendFileSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';

const file = process.env.GCS_TEST_FAULTS;
let current = '';
let passed = 0;

function plan(): string {
  if (file === undefined) return '';
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

export function faultPoint(name: string): void {
  const text = plan();
  if (text !== current) {
    current = text;
    passed = 0;
  }
  if (text === '') return;
  const [line = '', ...later] = text.trim().split('\n');
  const [what = '', ...words] = line.split(' ');
  const argument = words.join(' ');
  passed += 1;
  if (what === 'trace') appendFileSync(argument, `${name}\n`);
  else if (what === 'at' ? new RegExp(argument).test(name) : passed === Number(argument)) {
    end(name, later);
  }
}

function end(name: string, later: readonly string[]): void {
  const path = file as string;
  appendFileSync(`${path}.done`, `${name}\n`);
  if (later.length === 0) unlinkSync(path);
  else {
    // The next life may begin to read before this one has written.
    writeFileSync(`${path}.new`, later.join('\n'));
    renameSync(`${path}.new`, path);
  }
  process.kill(process.pid, 'SIGKILL');
}
