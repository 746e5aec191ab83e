/** The same command lines for runc and for bin/gcs-oci: exit codes, output, reasons and what is left. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OciLab, type Outcome, twins } from '../support/oci-lab.ts';
import { scenarios } from '../support/oci-scenarios.ts';

let lab: OciLab;
beforeAll(async () => {
  lab = await OciLab.start();
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});

/** A command line whose answers differ, and what bin/gcs-oci answers instead. */
interface Accepted {
  readonly scenario: keyof typeof scenarios;
  readonly line: RegExp;
  readonly why: string;
  /** The code only where it differs. */
  readonly code?: number;
  readonly out?: RegExp;
  readonly reason?: RegExp;
}

const OTHER_WORDS = 'as specific, in other words';
const ONE_PARSER = 'the words of the parser that all programs here have';
const FIELD = 'the agent judges before its runtime does, and names the field';
const DOOR = 'the management door knows running containers only';

const accepted: readonly Accepted[] = [
  { scenario: 'life', line: /^exec one true$/, why: DOOR, code: 255, reason: /not running/ },
  {
    scenario: 'life',
    line: /^ps one$/,
    why: 'ps(1) does not see the agent’s processes',
    out: /^PID {5}CMD\n$/,
  },
  {
    scenario: 'wrongUsage',
    line: /--no-such-option/,
    why: ONE_PARSER,
    reason: /^unknown option --no-such-option$/,
  },
  {
    scenario: 'wrongUsage',
    line: /--format xml/,
    why: ONE_PARSER,
    reason: /^--format is one of table, json/,
  },
  {
    scenario: 'wrongUsage',
    line: /^no-such-command$/,
    why: 'without an empty line',
    reason: /^No help topic for 'no-such-command'$/,
  },
  {
    scenario: 'identifiers',
    line: / x{300}$/,
    why: 'another file is the first',
    reason: /name too long/,
  },
  {
    scenario: 'identifiers',
    line: /^state x{100}$/,
    why: 'it could not be made',
    code: 1,
    reason: /does not exist/,
  },
  {
    scenario: 'identifiers',
    line: / x{100}$/,
    why: 'sockets are kept below --root',
    code: 1,
    reason: /file name too long/,
  },
  {
    scenario: 'bundles',
    line: /no-such-bundle/,
    why: OTHER_WORDS,
    reason: /no-such-bundle\/config.json: no such file/,
  },
  {
    scenario: 'bundles',
    line: /\/b[12] bad/,
    why: OTHER_WORDS,
    reason: /config.json: SyntaxError: /,
  },
  { scenario: 'bundles', line: /\/b4 bad/, why: 'runc panics', code: 1, reason: /holds no object/ },
  {
    scenario: 'bundles',
    line: /\/b[37] bad/,
    why: OTHER_WORDS,
    reason: /config.json: holds no object/,
  },
  {
    scenario: 'bundles',
    line: /\/b6 bad/,
    why: 'two things are wrong with it',
    reason: /process property must not be empty/,
  },
  {
    scenario: 'bundles',
    line: /\/b12 bad/,
    why: FIELD,
    reason: /OciSpecification.linux: is missing/,
  },
  {
    scenario: 'bundles',
    line: /\/b15 bad/,
    why: FIELD,
    reason: /process.cwd: must be an absolute path/,
  },
  {
    scenario: 'bundles',
    line: /no-socket/,
    why: OTHER_WORDS,
    reason: /connect .*no-socket: ENOENT/,
  },
  {
    scenario: 'bundles',
    line: /no-directory/,
    why: 'runc writes another file first',
    reason: /open .*\/no-directory\/pid: no such file/,
  },
  { scenario: 'exec', line: /NOVALUE/, why: FIELD, reason: /process.env\[2\]: must be NAME=value/ },
  {
    scenario: 'exec',
    line: /--cwd relative/,
    why: FIELD,
    reason: /process.cwd: must be an absolute path/,
  },
  {
    scenario: 'exec',
    line: /--user \S*tester|--user :5|--user 1000: |--user -1/,
    why: OTHER_WORDS,
    reason: /--user: ".*" is no id/,
  },
  {
    scenario: 'exec',
    line: /-g audio/,
    why: OTHER_WORDS,
    reason: /invalid value "audio" for flag -g$/,
  },
  {
    scenario: 'exec',
    line: /^exec --process <directory>\/process.json box$/,
    why: OTHER_WORDS,
    reason: /SyntaxError/,
  },
  {
    scenario: 'exec',
    line: /--detach --console-socket <directory>\/no-socket -t/,
    why: OTHER_WORDS,
    reason: /connect .*no-socket: ENOENT/,
  },
  {
    scenario: 'exec',
    line: /--preserve-fds/,
    why: 'descriptors do not leave a machine',
    code: 255,
    reason: /--preserve-fds/,
  },
  { scenario: 'kill', line: /^kill on -1$/, why: ONE_PARSER, reason: /^unknown option -1$/ },
  {
    scenario: 'kill',
    line: /^kill (--signal|-s) KILL on$/,
    why: ONE_PARSER,
    reason: /^unknown option --?s/,
  },
  {
    scenario: 'freezing',
    line: /^exec ice true$/,
    why: OTHER_WORDS,
    reason: /^exec failed: container ice is paused$/,
  },
  {
    scenario: 'freezing',
    line: /^pause cold$/,
    why: DOOR,
    code: 1,
    reason: /^container not running$/,
  },
  {
    scenario: 'freezing',
    line: /^resume cold$/,
    why: DOOR,
    code: 1,
    reason: /^container not paused$/,
  },
  { scenario: 'freezing', line: /^state cold$/, why: DOOR, out: /"status": "created"/ },
  {
    scenario: 'lists',
    line: /--format xml/,
    why: ONE_PARSER,
    reason: /^--format is one of table, json/,
  },
  { scenario: 'resources', line: /--resources - r/, why: OTHER_WORDS, reason: /SyntaxError/ },
  {
    scenario: 'resources',
    line: /--pids-limit x/,
    why: OTHER_WORDS,
    reason: /invalid value for pids-limit/,
  },
  { scenario: 'resources', line: /--cpu-share -5/, why: 'the agent’s runc judges', reason: /-5/ },
  {
    scenario: 'resources',
    line: /--memory 4096/,
    why: 'no two runs use the same',
    reason: /unable to set memory limit to 4096/,
  },
  {
    scenario: 'resources',
    line: /--cpu-idle/,
    why: ONE_PARSER,
    reason: /^unknown option --cpu-idle$/,
  },
  { scenario: 'resources', line: /--interval x/, why: OTHER_WORDS, reason: /duration interval/ },
];

function same(runc: Outcome, gcs: Outcome): boolean {
  // On stderr each program has its own form of what is in the log.
  const said = (outcome: Outcome) => (outcome.reasons.length > 0 ? '' : outcome.err);
  const compared = (outcome: Outcome) => JSON.stringify({ ...outcome, err: said(outcome) });
  return compared(runc) === compared(gcs);
}

test.for(Object.entries(scenarios))('as runc: %s', async ([scenario, steps]) => {
  const { runc, 'gcs-oci': gcs } = await twins(lab, steps);
  expect(gcs.map(({ line }) => line)).toEqual(runc.map(({ line }) => line));
  const used = new Set<Accepted>();
  for (const [index, expected] of runc.entries()) {
    const got = gcs[index];
    if (got === undefined || same(expected, got)) continue;
    const difference = accepted.find(
      (each) => each.scenario === scenario && each.line.test(got.line),
    );
    if (difference === undefined) expect(got).toEqual(expected);
    else {
      used.add(difference);
      const { code = expected.code, out, reason } = difference;
      expect(got.code, got.line).toBe(code);
      if (out === undefined && code === expected.code) expect(got.out, got.line).toBe(expected.out);
      if (out !== undefined) expect(got.out, got.line).toMatch(out);
      if (reason !== undefined) expect(got.reasons.join(), got.line).toMatch(reason);
    }
  }
  // A difference that is none any more has no place in the list.
  expect(accepted.filter((each) => each.scenario === scenario && !used.has(each))).toEqual([]);
});
