import { constants } from 'node:os';
import { OciError } from '../failure.ts';

const { signals } = constants;

/** A signal as runc takes it: a number, or a name with or without SIG, in either case. */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= 64) return number;
  }
  const name = text.toUpperCase();
  const full = name.startsWith('SIG') ? name : `SIG${name}`;
  const number = (signals as Record<string, number | undefined>)[full];
  if (number === undefined) throw new OciError(`unknown signal ${JSON.stringify(text)}`);
  return number;
}
