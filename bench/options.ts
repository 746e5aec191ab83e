import { parseArgs } from 'node:util';

export interface BenchOptions {
  json: boolean;
  quick: boolean;
  /** Measure a VM and the agent in it. */
  vm: boolean;
  /** Names of measures; empty = all. */
  only: string[];
  /** Another agent's command line. */
  peer: string[] | undefined;
}

export const HELP = `Usage: npm run bench -- [OPTIONS]

Measures the agent on this machine, against raw runc, plain pipes and JavaScript in the same run.

  --json            print the figures as JSON (progress goes to stderr)
  --quick           fewer rounds, about a minute
  --vm              boot the virtual machine and measure there instead: phases of its start, sizes,
                    memory in the guest, RPC latency and streams across the vsock device
  --only NAME       one measure only, may be repeated: start, rpc, lifecycle, pipe, stdin, tty,
                    crowd, exit, memory; of the management door exec-sync, many (list and figures
                    of 200 containers), events, recovery, door-memory; with --vm boot, memory, rpc,
                    stdout, stdin, tty, exec-sync, door-memory
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
  known: { readonly machine: readonly string[]; readonly vm: readonly string[] },
): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      vm: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      peer: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const names = values.vm ? known.vm : known.machine;
  for (const name of values.only) {
    if (!names.includes(name)) {
      throw new TypeError(`--only ${name}: not one of ${names.join(', ')}`);
    }
  }
  if (values.vm && values.peer !== undefined) {
    throw new TypeError('--peer: another agent is not in the image of --vm');
  }
  let peer = values.peer === undefined ? undefined : words(values.peer);
  if (peer && !peer.some((word) => word.includes('{PATH}'))) {
    peer = [...peer, '-transport', 'hybrid:{PATH}'];
  }
  const { json, quick, vm, only } = values;
  return { json, quick, vm, only, peer };
}
