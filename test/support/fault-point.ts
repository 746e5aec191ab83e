/**
 * Takes the place of src/os/fault-point.ts in a bundle made for tests (fault-agent.ts): kills the
 * agent at one of the points it passes, or lists them. What it is to do stands in the file that
 * GCS_TEST_FAULTS names; without one it does nothing.
 *
 *   trace FILE     appends the name of each point to FILE
 *   kill N         at the N-th point from now on, and removes the file first
 */
import { appendFileSync, readFileSync, unlinkSync } from 'node:fs';

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
  const [what, argument = ''] = text.split(' ');
  passed += 1;
  if (what === 'trace') appendFileSync(argument, `${name}\n`);
  else if (passed === Number(argument)) {
    unlinkSync(file as string);
    process.kill(process.pid, 'SIGKILL');
  }
}
