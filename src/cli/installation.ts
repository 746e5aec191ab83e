import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliError } from './exit-codes.ts';

/** The program "gcs" that belongs to this gcsctl; $GCSCTL_AGENT names another. */
export function agentProgram(env: Readonly<Record<string, string | undefined>>): string {
  const chosen = env.GCSCTL_AGENT;
  if (chosen !== undefined && chosen !== '') return chosen;
  return join(installationRoot(), 'bin/gcs');
}

/** The directory this gcsctl belongs to: bin/, build/ and vm-image/ are in it. */
export function installationRoot(): string {
  const start = import.meta.dirname;
  for (let directory = start; ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'bin', 'gcs'))) return directory;
    if (directory === dirname(directory)) break;
  }
  throw new CliError(
    `no bin/gcs above ${start}: run "npm run build", or name the agent in $GCSCTL_AGENT`,
  );
}
