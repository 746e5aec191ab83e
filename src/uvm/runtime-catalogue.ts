import { AgentError } from '../errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { TrustLevel } from './management-types.ts';

/** The OCI runtimes containers can be made with. */
export interface RuntimeCatalogue {
  /** By their names; the first is the trusted one. */
  readonly all: ReadonlyMap<string, Runtime>;
  readonly trusted: string;
  /** For what is not trusted; undefined: the trusted one. */
  readonly untrusted: string | undefined;
  /** What containers are that say nothing else: of an untrusted machine also trusted ones run under the untrusted runtime. */
  readonly workloads: TrustLevel;
}

/** A catalogue of one. */
export function oneRuntime(runtime: Runtime): RuntimeCatalogue {
  return {
    all: new Map([[runtime.name, runtime]]),
    trusted: runtime.name,
    untrusted: undefined,
    workloads: 'trusted',
  };
}

export interface RuntimeChoice {
  /** Goes before trust. */
  runtime?: string | undefined;
  trust?: TrustLevel | undefined;
  /** Has the rights of the VM: no other runtime could hold it. */
  privileged?: boolean | undefined;
}

/**
 * The runtime for a container, by CRI-O's rules: a privileged one runs trusted, whatever it is
 * (`warning` when it was not to be trusted); an untrusted one untrusted where there is a runtime for
 * that; a trusted one as the machine's workloads are. AgentError 'invalid-argument' for a name there
 * is not.
 */
export function chooseRuntime(
  catalogue: RuntimeCatalogue,
  choice: RuntimeChoice,
): { runtime: Runtime; warning?: string } {
  if (choice.runtime !== undefined) return { runtime: named(catalogue, choice.runtime) };
  const trusted = named(catalogue, catalogue.trusted);
  const { privileged = false, trust = 'trusted' } = choice;
  if (privileged) {
    const warning = 'an untrusted container is privileged and runs under the trusted runtime';
    return trust === 'untrusted' ? { runtime: trusted, warning } : { runtime: trusted };
  }
  const level = trust === 'untrusted' ? trust : catalogue.workloads;
  if (level === 'trusted' || catalogue.untrusted === undefined) return { runtime: trusted };
  return { runtime: named(catalogue, catalogue.untrusted) };
}

function named(catalogue: RuntimeCatalogue, name: string): Runtime {
  const runtime = catalogue.all.get(name);
  if (runtime !== undefined) return runtime;
  const names = [...catalogue.all.keys()].join(', ');
  throw new AgentError(
    'invalid-argument',
    `runtime: there is no runtime ${JSON.stringify(name.slice(0, 80))}; known: ${names}`,
    { field: 'runtime' },
  );
}
