import type { Interruption } from './cleanup.ts';
import type { Figure } from './figures.ts';

/** One line that is written over on a terminal; elsewhere only the first of each measure. */
function progressFor(measure: string, who: string): (text: string) => void {
  if (process.stderr.isTTY) {
    return (text) => process.stderr.write(`\r\x1b[K${measure} (${who}): ${text}`);
  }
  process.stderr.write(`${measure} (${who}) …\n`);
  return () => {};
}

/** Runs a measure with its progress shown; fails with Interrupted when the user had enough. */
export async function showing(
  measure: string,
  who: string,
  interruption: Interruption,
  body: (progress: (text: string) => void) => Promise<Figure[]>,
): Promise<Figure[]> {
  const show = progressFor(measure, who);
  const progress = (text: string) => {
    interruption.check();
    show(text);
  };
  const figures = await body(progress).catch((error: unknown) => {
    // Whatever failed because its process was ended says less than why it was.
    interruption.check();
    throw error;
  });
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  return figures;
}
