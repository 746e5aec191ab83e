import { parseArgs } from 'node:util';

export interface BenchOptions {
  json: boolean;
  quick: boolean;
  /** Names of measures; empty = all. */
  only: string[];
  /** Another agent's command line. */
  peer: string[] | undefined;
}

export const HELP = `Usage: npm run bench -- [OPTIONS]

Measures the agent on this machine, against raw runc, plain pipes and JavaScript in the same run.

  --json            print the figures as JSON (progress goes to stderr)
  --quick           fewer rounds, about half a minute
  --only NAME       one measure only, may be repeated: start, rpc, lifecycle, pipe, stdin, tty,
                    crowd, exit, memory
  --peer COMMAND    measure another agent of the same protocol the same way and print the ratio;
                    {PATH} in COMMAND is the hybrid vsock's path, without it
                    "-transport hybrid:{PATH}" is added
  --help            this text
`;

/** Splits at white space; quotes keep words together. */
function words(command: string): string[] {
  return [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? '',
  );
}

/** Throws TypeError for a wrong command line; 'help' when asked for. */
export function parseOptions(
  args: readonly string[],
  known: readonly string[],
): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      peer: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  for (const name of values.only) {
    if (!known.includes(name)) {
      throw new TypeError(`--only ${name}: not one of ${known.join(', ')}`);
    }
  }
  let peer = values.peer === undefined ? undefined : words(values.peer);
  if (peer && !peer.some((word) => word.includes('{PATH}'))) {
    peer = [...peer, '-transport', 'hybrid:{PATH}'];
  }
  return { json: values.json, quick: values.quick, only: values.only, peer };
}
