import { execFileSync } from 'node:child_process';

/** stty(1) on the terminal that is our descriptor 0. */
function stty(...args: string[]): string {
  return execFileSync('stty', args, { stdio: ['inherit', 'pipe', 'pipe'], encoding: 'utf8' });
}

/**
 * Makes the terminal on descriptors 0 to 2 transparent: the container's own terminal has the line
 * discipline. Not with setRawMode(), which goes on turning "\n" into "\r\n".
 */
export function useTerminal(): void {
  stty('raw', '-echo');
}

/** The same for the terminal of a user, who gets it back as it was. */
export function ownTerminal(): Disposable {
  if (!process.stdin.isTTY) return { [Symbol.dispose]: () => {} };
  const settings = stty('-g').trim();
  useTerminal();
  return { [Symbol.dispose]: () => void stty(settings) };
}
