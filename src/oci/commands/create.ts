import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { OciSpec } from '../../spec/oci.ts';
import { defineOciCommand, oneId } from '../command.ts';
import { OciError } from '../failure.ts';
import { checkProcess, isObject, readObject } from '../json-file.ts';
import { ContainerDirectory } from '../records.ts';
import { launchStandIn } from '../stand-in/launch.ts';

export const createCommand = defineOciCommand({
  name: 'create',
  summary: 'make a container whose process waits for start',
  usage: '[OPTIONS] ID',
  words: oneId,
  failure: { prefix: 'gcs-oci create failed', code: 1 },
  options: {
    bundle: {
      kind: 'text',
      short: 'b',
      value: 'DIR',
      help: 'bundle directory (default: this one)',
    },
    'console-socket': {
      kind: 'text',
      value: 'PATH',
      help: 'unix socket that takes the master of the terminal',
    },
    'pid-file': { kind: 'text', value: 'FILE', help: 'write the pid here' },
    'no-pivot': { kind: 'flag', help: 'move to the root instead of pivoting to it' },
    'no-new-keyring': { kind: 'flag', help: 'taken for compatibility' },
    'preserve-fds': {
      kind: 'text',
      value: 'N',
      help: 'only 0: descriptors do not leave a machine',
    },
  },
  async run(values, [id = ''], globals) {
    if ((values['preserve-fds'] ?? '0') !== '0') {
      throw new OciError('--preserve-fds: descriptors cannot be passed to the agent');
    }
    const bundle = resolve(values.bundle ?? '.');
    const spec = readSpec(bundle);
    const terminal = spec.process?.terminal === true;
    const consoleSocket = values['console-socket'];
    if (terminal && consoleSocket === undefined) {
      throw new OciError(
        'cannot allocate tty if gcs-oci will detach without setting console socket',
      );
    }
    if (!terminal && consoleSocket !== undefined) {
      throw new OciError('cannot use console socket if gcs-oci will not detach or allocate tty');
    }
    const directory = new ContainerDirectory(globals.root, id);
    directory.make();
    try {
      const standIn = await launchStandIn({
        directory: directory.path,
        consoleSocket,
        plan: {
          kind: 'init',
          agent: globals.agent,
          containerId: id,
          bundle,
          terminal,
          systemdCgroup: globals.systemdCgroup,
          pivot: values['no-pivot'] !== true,
          controlSocket: directory.controlSocket,
        },
      });
      directory.write({
        id,
        agent: globals.agent,
        bundle,
        rootfs: resolve(bundle, spec.root?.path ?? 'rootfs'),
        created: new Date().toISOString(),
        annotations: spec.annotations ?? {},
        standIn,
      });
      if (values['pid-file'] !== undefined) writeFileSync(values['pid-file'], `${standIn.pid}`);
      return 0;
    } catch (error) {
      directory.remove();
      throw error;
    }
  },
});

function readSpec(bundle: string): OciSpec {
  const path = join(bundle, 'config.json');
  const spec = readObject<OciSpec>(path);
  const { process } = spec;
  if (process === undefined || !isObject(process)) {
    throw new OciError('process property must not be empty');
  }
  checkProcess(process);
  if (!isObject(spec.root)) throw new OciError('root must be specified');
  return spec;
}
