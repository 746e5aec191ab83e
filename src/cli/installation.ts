import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliError } from './exit-codes.ts';

/** The program "gcs" that belongs to this gcsctl; $GCSCTL_AGENT names another. */
export function agentProgram(env: Readonly<Record<string, string | undefined>>): string {
  const chosen = env.GCSCTL_AGENT;
  if (chosen !== undefined && chosen !== '') return chosen;
  const start = import.meta.dirname;
  for (let directory = start; ; directory = dirname(directory)) {
    const candidate = join(directory, 'bin', 'gcs');
    if (existsSync(candidate)) return candidate;
    if (directory === dirname(directory)) break;
  }
  throw new CliError(
    `no bin/gcs above ${start}: run "npm run build", or name the agent in $GCSCTL_AGENT`,
  );
}
