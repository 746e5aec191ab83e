import { ttyOption } from './common-options.ts';
import type { OptionSpec } from './options.ts';

/** Options of "run" and "create" that say what the container is. */
export const containerOptions = {
  bundle: {
    kind: 'text',
    short: 'b',
    value: 'DIR',
    help: 'OCI bundle: a directory with config.json',
  },
  rootfs: {
    kind: 'text',
    value: 'DIR',
    help: 'root directory in the guest; without a VM host and guest share the file system',
  },
  name: { kind: 'text', value: 'ID', help: 'id of the container (default: a random one)' },
  tty: ttyOption,
  env: {
    kind: 'list',
    short: 'e',
    value: 'NAME[=VALUE]',
    help: 'environment variable; without a value, that of gcsctl',
  },
  cwd: { kind: 'text', short: 'w', value: 'DIR', help: 'working directory, made when missing' },
  user: { kind: 'text', short: 'u', value: 'USER[:GROUP]', help: 'names or numbers' },
  hostname: { kind: 'text', value: 'NAME', help: 'host name (default: the id)' },
  memory: { kind: 'text', short: 'm', value: 'BYTES', help: 'memory limit, like 64m or 1g' },
  cpus: {
    kind: 'number',
    value: 'N',
    min: 0.01,
    max: 4096,
    fraction: true,
    help: 'processors it may use, like 0.5',
  },
  pids: { kind: 'number', value: 'N', min: 1, max: 4_194_304, help: 'most processes at a time' },
  mount: { kind: 'list', value: 'SRC:DST[:ro]', help: 'bind mount a path of the guest' },
  network: {
    kind: 'choice',
    value: 'KIND',
    of: ['none', 'host'],
    help: 'own network namespace with a loopback only (default), or the guest’s network',
  },
  'read-only': { kind: 'flag', help: 'root file system mounted read-only' },
} as const satisfies Record<string, OptionSpec>;
