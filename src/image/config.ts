import { type Digest, parseDigest } from './digest.ts';
import { asArray, asObject, asText, asTexts, type Json } from './documents.ts';
import { type Platform, platformOf } from './platform.ts';

/** What an image says of the process; OCI image specification, config.md. */
export interface ImageProcess {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** "NAME=value". */
  readonly env: readonly string[];
  /** Empty: "/". */
  readonly workingDir: string;
  /** Empty: root. Else "USER[:GROUP]", names or numbers. */
  readonly user: string;
  /** "SIGTERM" or "15"; empty: the usual one. */
  readonly stopSignal: string;
}

export interface ImageConfig {
  readonly platform: Platform | undefined;
  readonly process: ImageProcess;
  /** Of the uncompressed layers, the lowest first. */
  readonly diffIds: readonly Digest[];
}

/** Throws ImageError for a configuration that is none. */
export function parseConfig(value: unknown): ImageConfig {
  const what = 'the image configuration';
  const config = asObject(value, what);
  const rootfs = asObject(config.rootfs ?? {}, `${what}: rootfs`);
  const diffIds = asArray(rootfs.diff_ids, `${what}: rootfs.diff_ids`);
  return {
    platform: platformOf(config, what),
    process: parseProcess(asObject(config.config ?? {}, `${what}: config`)),
    diffIds: diffIds.map((each, index) => parseDigest(each, `${what}: rootfs.diff_ids[${index}]`)),
  };
}

function parseProcess(config: Json): ImageProcess {
  const texts = (name: string): string[] => asTexts(config[name], `the image's ${name}`);
  const text = (name: string): string => asText(config[name], `the image's ${name}`);
  return {
    entrypoint: texts('Entrypoint'),
    command: texts('Cmd'),
    env: texts('Env'),
    workingDir: text('WorkingDir'),
    user: text('User'),
    stopSignal: text('StopSignal'),
  };
}

/** What the command line asks for; undefined where it says nothing. */
export interface ProcessRequest {
  /** Empty: the image's. */
  readonly command: readonly string[];
  /** Another program than the image's entry point; the image's command does not go with it. */
  readonly entrypoint?: string | undefined;
  /** "NAME=value", each in place of the image's of that name. */
  readonly env: readonly string[];
  readonly workingDir?: string | undefined;
  readonly user?: string | undefined;
}

export interface MergedProcess {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
  readonly stopSignal: string;
}

/** As "docker run" has it: a command replaces the image's command, not its entry point. */
export function mergeProcess(image: ImageProcess, request: ProcessRequest): MergedProcess {
  const { entrypoint, command } = request;
  // An empty one takes the image's away.
  const first = entrypoint === undefined ? image.entrypoint : entrypoint === '' ? [] : [entrypoint];
  const own = entrypoint === undefined ? image.command : [];
  return {
    args: [...first, ...(command.length > 0 ? command : own)],
    env: mergeEnvironment(image.env, request.env),
    workingDir: absolute(request.workingDir ?? image.workingDir),
    user: request.user ?? image.user,
    stopSignal: image.stopSignal,
  };
}

function mergeEnvironment(image: readonly string[], request: readonly string[]): string[] {
  const entries = new Map<string, string>();
  // A Map keeps the place of a name it has: the image's order, then what is new.
  for (const entry of [...image, ...request]) {
    const [name = ''] = entry.split('=', 1);
    if (name !== '') entries.set(name, entry.includes('=') ? entry : `${name}=`);
  }
  return [...entries.values()];
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}
