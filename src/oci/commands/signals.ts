import { constants } from 'node:os';
import { OciError } from '../failure.ts';

const { signals } = constants;

/** A signal as runc takes it: a number (0 only asks whether somebody is there), nothing for SIGTERM, or a name with or without SIG, in either case. */
export function parseSignal(text: string): number {
  if (text === '') return signals.SIGTERM;
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number <= 64) return number;
    throw new OciError('unable to signal init: invalid argument');
  }
  const name = text.toUpperCase();
  const full = name.startsWith('SIG') ? name : `SIG${name}`;
  const number = (signals as Record<string, number | undefined>)[full];
  if (number === undefined) throw new OciError(`unknown signal ${JSON.stringify(text)}`);
  return number;
}
