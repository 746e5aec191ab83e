import { expect, test } from 'vitest';
import { reasonToStayShut } from './door.ts';
import { type AgentFlags, parseAgentFlags } from './flags.ts';

function flagsOf(...args: string[]): AgentFlags {
  const flags = parseAgentFlags(args);
  if (flags === 'help') throw new Error('help');
  return flags;
}

test.each([
  ['flags say nothing', [], '', undefined],
  ['-management=off', ['-management=off'], '', '-management=off'],
  ['the stance is deny', ['-initial-policy-stance', 'deny'], '', '-initial-policy-stance=deny'],
  ['the kernel was told so', [], 'quiet gcs.management=off panic=-1\n', 'gcs.management=off'],
  ['the kernel was told the contrary', [], 'gcs.management=on\n', undefined],
  ['a longer word begins so', [], 'gcs.management=official\n', undefined],
])('in a VM, where %s, the door is open or says why not', (_name, args, kernel, reason) => {
  expect(reasonToStayShut({ flags: flagsOf(...args), inVm: true }, () => kernel)).toBe(reason);
});

test("on a machine that is not the agent's own the kernel's arguments are not its affair", () => {
  const kernel = (): string => 'gcs.management=off';
  expect(reasonToStayShut({ flags: flagsOf(), inVm: false }, kernel)).toBeUndefined();
});
