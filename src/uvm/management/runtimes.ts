import type { Runtime } from '../../runtime/runtime.ts';
import type { RuntimeInfo, TrustLevel } from '../management-types.ts';
import type { RuntimeCatalogue } from '../runtime-catalogue.ts';

/** Every runtime of the catalogue, with what its program says of itself now. */
export async function describeRuntimes(catalogue: RuntimeCatalogue): Promise<RuntimeInfo[]> {
  return await Promise.all(
    [...catalogue.all].map(([name, runtime]) => describe(name, runtime, catalogue)),
  );
}

async function describe(
  name: string,
  runtime: Runtime,
  catalogue: RuntimeCatalogue,
): Promise<RuntimeInfo> {
  const { program, cgroupManager } = runtime;
  const level = levelOf(name, catalogue);
  return {
    name,
    program,
    ...(await versionOf(runtime)),
    cgroupManager,
    ...(level === undefined ? {} : { default: level }),
    checkpoint: await runtime.checkpointSupport(),
  };
}

async function versionOf(runtime: Runtime): Promise<{ version: string } | { error: string }> {
  try {
    return { version: await runtime.version() };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function levelOf(name: string, catalogue: RuntimeCatalogue): TrustLevel | undefined {
  if (name === catalogue.trusted) return 'trusted';
  return name === catalogue.untrusted ? 'untrusted' : undefined;
}
