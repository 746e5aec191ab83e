import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { defaultSpec, linuxResources } from '../client/spec.ts';
import { parseJson } from '../json.ts';
import type { OciSpec } from '../spec/oci.ts';
import type { containerOptions } from './container-options.ts';
import { CliError, UsageError } from './exit-codes.ts';
import type { Io } from './io.ts';
import type { OptionValues } from './options.ts';
import { terminalSize } from './terminal.ts';
import { resolveUser } from './user.ts';
import { isRecord, parseBytes, parseEnvironment, parseMount, terminalVariable } from './values.ts';

export type ContainerValues = OptionValues<typeof containerOptions>;

/** A container as it will be asked for. */
export interface ContainerPlan {
  readonly id: string;
  /** In the guest; removed with the container, so never a directory of the user's. */
  readonly bundle: string;
  readonly spec: OciSpec;
  readonly terminal: boolean;
}

/**
 * Turns options and command into a container. `base`: what they change, instead of what --rootfs or
 * --bundle give. Throws UsageError or CliError.
 */
export function planContainer(
  values: ContainerValues,
  command: readonly string[],
  io: Io,
  base?: OciSpec,
): ContainerPlan {
  const id = checkId(values.name ?? `gcsctl-${randomBytes(6).toString('hex')}`);
  const spec =
    base === undefined ? baseSpec(values, command, id, io) : changed(base, values, command, id, io);
  return { id, bundle: `/run/gcs/c/${id}`, spec, terminal: values.tty };
}

/** An id as it may stand in a path, by the same rule as the guest's. */
export function checkId(id: string): string {
  if (/^[\w+.-]{1,1024}$/.test(id) && id !== '.' && id !== '..') return id;
  throw new UsageError(`"${id}" is no container id: letters, digits and _ + - . are`);
}

function baseSpec(
  values: ContainerValues,
  command: readonly string[],
  id: string,
  io: Io,
): OciSpec {
  const { bundle, rootfs } = values;
  if (rootfs !== undefined && bundle === undefined) {
    if (command.length === 0) throw new UsageError('the COMMAND to run is missing');
    const root = resolve(io.cwd, rootfs);
    return changed(defaultSpec({ args: command, rootfs: root }), values, command, id, io);
  }
  if (bundle !== undefined && rootfs === undefined) {
    return changed(readBundle(resolve(io.cwd, bundle)), values, command, id, io);
  }
  throw new UsageError('give either --bundle DIR or --rootfs DIR');
}

/** The specification with what the options say; a bundle keeps what they do not mention. */
function changed(
  spec: OciSpec,
  values: ContainerValues,
  command: readonly string[],
  id: string,
  io: Io,
): OciSpec {
  const root = spec.root ?? { path: 'rootfs' };
  const size = values.tty ? terminalSize(io) : undefined;
  const env = [...(spec.process?.env ?? []), ...terminalEnvironment(values, spec, io)];
  const resources = linuxResources({
    ...(values.memory === undefined ? {} : { memory: parseBytes('--memory', values.memory) }),
    ...(values.cpus === undefined ? {} : { cpus: values.cpus }),
    ...(values.pids === undefined ? {} : { pids: values.pids }),
  });
  const namespaces = spec.linux?.namespaces ?? [];
  return {
    ...spec,
    hostname: values.hostname ?? spec.hostname ?? id.slice(0, 63),
    root: values['read-only'] ? { ...root, readonly: true } : root,
    process: {
      ...spec.process,
      terminal: values.tty,
      ...(size === undefined ? {} : { consoleSize: size }),
      ...(command.length === 0 ? {} : { args: [...command] }),
      ...(values.cwd === undefined ? {} : { cwd: values.cwd }),
      ...(values.user === undefined ? {} : { user: resolveUser(values.user, root.path) }),
      env: [...env, ...parseEnvironment(values.env, io)],
    },
    mounts: [...(spec.mounts ?? []), ...values.mount.map((text) => parseMount(text, io.cwd))],
    linux: {
      ...spec.linux,
      namespaces:
        values.network === 'host'
          ? namespaces.filter(({ type }) => type !== 'network')
          : namespaces,
      resources: { ...spec.linux?.resources, ...resources },
    },
  };
}

function terminalEnvironment(values: ContainerValues, spec: OciSpec, io: Io): string[] {
  const given = [...(spec.process?.env ?? []), ...values.env];
  if (!values.tty || given.some((entry) => entry.startsWith('TERM='))) return [];
  return [terminalVariable(io)];
}

function readBundle(directory: string): OciSpec {
  const file = join(directory, 'config.json');
  let spec: unknown;
  try {
    spec = parseJson(readFileSync(file, 'utf8'));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(`cannot read the bundle: ${file}: ${reason}`, { cause });
  }
  if (!isRecord(spec)) throw new CliError(`${file} is no OCI specification: it is not an object`);
  const bundle = spec as OciSpec;
  // The guest keeps its own bundle directory, so what is relative to this one is made absolute.
  const path = resolve(directory, bundle.root?.path ?? 'rootfs');
  return { ...bundle, root: { ...bundle.root, path } };
}
