import type { OptionTable } from '../cli/options.ts';
import type { OciCommand } from './command.ts';
import { globalOptions } from './globals.ts';

function optionLines(options: OptionTable): string {
  const rows = Object.entries(options).map(([name, spec]) => {
    const value = spec.kind === 'flag' ? '' : ` ${spec.value}`;
    const short = spec.short === undefined ? '' : `, -${spec.short}`;
    return [`--${name}${short}${value}`, spec.help] as const;
  });
  const width = Math.max(0, ...rows.map(([option]) => option.length));
  return rows.map(([option, help]) => `  ${option.padEnd(width)}  ${help}\n`).join('');
}

export function generalHelp(commands: readonly OciCommand[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const list = commands
    .map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`)
    .join('');
  return `gcs-oci: the command line of an OCI runtime, in front of a guest agent

Usage: gcs-oci [GLOBAL OPTIONS] COMMAND [OPTIONS] …

The agent makes and keeps the containers, with paths as the agent sees them; on this side a small
process stands for each of their processes, so that conmon and others can wait for it.

Commands:
${list}
Global options:
${optionLines(globalOptions)}
Errors go to stderr and to --log; the exit code is 1 for every failure, as with runc.
`;
}

export function commandHelp({ name, usage, summary, options }: OciCommand): string {
  const table = Object.keys(options).length === 0 ? '' : `\nOptions:\n${optionLines(options)}`;
  return `Usage: gcs-oci [GLOBAL OPTIONS] ${name} ${usage}\n\n${summary}\n${table}`;
}
