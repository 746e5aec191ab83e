import { invalid } from './fields.ts';
import type { OciProcess, OciSpec, OciUser } from './oci.ts';
import { resolveUser } from './user.ts';
import { parseProcess } from './validate.ts';

/**
 * The process of an exec, ready for the runtime: checked; with the container's resource limits in
 * place of its own; without a working directory, in the container's; as the user it names, else,
 * when the container's user was given by name, as that one, else as its own ids say. Capabilities,
 * terminal, consoleSize and all else stay as sent.
 *
 * `spec` is the container's, as {@link planContainer} made it. AgentError 'invalid-argument' names
 * the field below `field`.
 */
export async function prepareExec(
  process: unknown,
  spec: OciSpec,
  field = 'OciProcess',
): Promise<OciProcess> {
  const { rlimits: _, ...checked } = parseProcess(process, field, spec.process?.cwd ?? '/');
  const limits = spec.process?.rlimits;
  const user = await execUser(checked.user, spec, `${field}.user.username`);
  return {
    ...checked,
    ...(limits === undefined ? {} : { rlimits: limits }),
    ...(user === undefined ? {} : { user }),
  };
}

async function execUser(
  user: OciUser | undefined,
  spec: OciSpec,
  field: string,
): Promise<OciUser | undefined> {
  const { username = '', ...own } = user ?? {};
  if (username === '') {
    const inherited = (spec.process?.user?.username ?? '') !== '';
    return inherited ? spec.process?.user : user;
  }
  const root = spec.root?.path;
  if (root === undefined) throw invalid(field, 'the container has no root to look users up in');
  return { ...own, ...(await resolveUser(root, username, field)) };
}
