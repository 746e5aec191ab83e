import { readFileSync } from 'node:fs';
import { basename } from 'node:path/posix';
import type { Logger } from '../log/logger.ts';
import type { RuntimeProcess } from '../runtime/runtime.ts';
import { annotation, get, parseContainerKind } from '../spec/annotations.ts';
import { type DnsConfig, resolvConf } from '../spec/etc-files.ts';
import { canonical, invalid } from '../spec/fields.ts';
import type { OciSpec } from '../spec/oci.ts';
import type { PlannedFile } from '../spec/plan.ts';
import type { Namespaces } from './namespaces.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import { ResolverFile } from './resolver-file.ts';

/** The id in `windows.network.networkNamespace`, which hosts set for Linux too; '' for none. */
function namespaceIdOf(spec: OciSpec): string {
  let value: unknown = spec;
  let field = 'OciSpecification';
  for (const name of ['windows', 'network', 'networkNamespace']) {
    value = canonical(value, field, [name])[name];
    field += `.${name}`;
    if (value === undefined) return '';
  }
  if (typeof value !== 'string') throw invalid(field, 'must be a text');
  return value;
}

/**
 * The namespace whose adapters a container is to have: what its spec names. A standalone container
 * may name one that gets its adapters later, a sandbox only where the host skips pod networking or
 * runs several pods in the VM; else AgentError 'namespace-not-found'. A workload has its sandbox's.
 */
export function networkOf(
  id: string,
  spec: OciSpec,
  namespaces: Namespaces,
): NetworkNamespace | undefined {
  const kind = parseContainerKind(id, spec);
  const name = namespaceIdOf(spec);
  if (kind.kind === 'workload' || name === '') return undefined;
  const annotations = spec.annotations ?? {};
  const skips = get(annotations, annotation.skipPodNetworking)?.toLowerCase() === 'true';
  const isVirtual = get(annotations, annotation.virtualPodId) === id;
  if (kind.kind === 'sandbox' && !skips && !isVirtual) return namespaces.get(name);
  return namespaces.getOrAdd(name);
}

/** Gives a created container its adapters, until its init ends. Rejects with AgentError. */
export async function joinNetwork(
  network: NetworkNamespace,
  init: RuntimeProcess,
  files: readonly PlannedFile[],
  logger: Logger,
): Promise<void> {
  const planned = files.find(({ path }) => basename(path) === 'resolv.conf');
  const file = planned === undefined ? undefined : new ResolverFile(planned, logger);
  const dnsChanged = (dns: DnsConfig): void => file?.update(dns);
  await network.attach({ pid: init.pid, exited: init.exited, dnsChanged });
}

/** The same for a container that has them since an agent before this one gave them to it. */
export async function rejoinNetwork(
  namespaceId: string,
  init: RuntimeProcess,
  planned: PlannedFile | undefined,
  { namespaces, logger }: { namespaces: Namespaces; logger: Logger },
): Promise<void> {
  if (init.status !== undefined) return;
  const network = namespaces.getOrAdd(namespaceId);
  const file =
    planned === undefined
      ? undefined
      : new ResolverFile({ ...planned, content: contentOf(planned, network.dns) }, logger);
  const dnsChanged = (dns: DnsConfig): void => file?.update(dns);
  await network.reattach({ pid: init.pid, exited: init.exited, dnsChanged });
}

/** What the agent before us has written last, which is ours to change. */
function contentOf({ path, content }: PlannedFile, dns: DnsConfig): string {
  const now = readFileSync(path, 'utf8');
  return now === resolvConf(dns) ? now : content;
}
