import { execFileSync } from 'node:child_process';

/**
 * Makes the terminal on descriptor 0 transparent, by stty(1): every key is passed on, also Ctrl-C,
 * and output stays as it is. Not setRawMode(): Node's raw mode still turns "\n" into "\r\n" (ONLCR),
 * which garbles programs that move the cursor down by it. Throws what stty says.
 */
export function makeTerminalRaw(): void {
  stty('raw', '-echo');
}

/** The same; returns what makes the terminal as it was. */
export function borrowTerminal(): () => void {
  const settings = stty('-g').trim();
  makeTerminalRaw();
  return () => void stty(settings);
}

function stty(...args: string[]): string {
  return execFileSync('stty', args, { stdio: ['inherit', 'pipe', 'pipe'], encoding: 'utf8' });
}
