import type { StreamConnections } from '../../uvm/management.ts';
import type { Params } from '../contract.ts';
import type { RequestContext } from './handler.ts';

type Stdio = NonNullable<Params<'container.start'>['stdio']>;

const names = ['stdin', 'stdout', 'stderr'] as const;

/**
 * The connections of a process's streams, the caller's from now on. Waits for all of them; when one
 * does not come, those that came are closed.
 */
export async function claimStdio(
  stdio: Stdio | undefined,
  { client, signal }: RequestContext,
): Promise<StreamConnections> {
  const wanted = names.flatMap((name) => {
    const token = stdio?.[name];
    return token === undefined ? [] : [{ name, token }];
  });
  const claims = await Promise.allSettled(
    wanted.map(({ name, token }) => client.claimStream(token, `stdio.${name}`, signal)),
  );
  const streams: StreamConnections = {};
  let failure: PromiseRejectedResult | undefined;
  for (const [index, claim] of claims.entries()) {
    const name = wanted[index]?.name;
    if (claim.status === 'rejected') failure ??= claim;
    else if (name !== undefined) streams[name] = claim.value;
  }
  if (failure === undefined) return streams;
  for (const name of names) streams[name]?.close();
  throw failure.reason;
}
