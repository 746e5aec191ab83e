/** Layers and a container on them, as a host asks for both over the bridge. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NULL_CONTAINER, RAW, RawFailure } from '../support/raw-client.ts';
import { firstData } from '../support/raw-flows.ts';
import { makeRootfs } from '../support/rootfs.ts';
import { bundleOf, type Session, spec, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

let directory: string;
let base: string;
let top: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-layers-'));
  base = makeRootfs(join(directory, 'base'));
  top = join(directory, 'top');
  mkdirSync(join(top, 'etc'), { recursive: true });
  writeFileSync(join(top, 'etc/passwd'), 'root:x:0:0:from the top layer:/root:/bin/sh\n');
});
afterEach(() => rmSync(directory, { recursive: true }));

async function modify(session: Session, request: string, type: string, settings: object) {
  const body = { RequestType: request, ResourceType: type, Settings: settings };
  await session.call(RAW.modifySettings, { ContainerId: NULL_CONTAINER, Request: body });
}

async function refusal(action: Promise<unknown>): Promise<string> {
  const error = await action.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RawFailure);
  return (error as RawFailure).message;
}

describe('combined layers', () => {
  test('a container runs on them; they stay while it does', () =>
    withSession(async (session) => {
      const root = `${bundleOf('c1')}/rootfs`;
      const scratch = join(directory, 'scratch');
      const layers = {
        ContainerID: 'c1',
        ContainerRootPath: root,
        Layers: [
          { Id: 'top', Path: top },
          { Id: 'base', Path: base },
        ],
        ScratchPath: scratch,
      };
      await modify(session, 'Add', 'CombinedLayers', layers);
      const script = 'cat /etc/passwd; echo written >/file; sleep 1000';
      const options = { args: ['sh', '-c', script] };
      await session.createFrom('c1', { ...spec(options), root: { path: root } });
      const init = await session.startInit('c1', { stdout: true });
      expect(String(await firstData(init.stdout))).toContain('from the top layer');
      const remove = () => modify(session, 'Remove', 'CombinedLayers', layers);
      expect(await refusal(remove())).toContain(`${root} is in use by container c1`);
      await session.signal('c1', init.pid, 9);
      await session.finish('c1', init);
      await remove();
      expect(readFileSync(join(scratch, 'upper/file'), 'utf8')).toBe('written\n');
      expect(await refusal(remove())).toContain('nothing of that kind was added there');
      await session.delete('c1');
    }));

  test('hostile settings are refused by field, and by type before that', () =>
    withSession(async (session) => {
      const cases: [type: string, settings: object, text: string][] = [
        ['CombinedLayers', { ContainerRootPath: '/run/../etc' }, 'ContainerRootPath'],
        ['CombinedLayers', { ContainerRootPath: '/run/x', Layers: [] }, 'Layers: missing'],
        [
          'CombinedLayers',
          { ContainerRootPath: '/run/x', Layers: Array(300).fill({ Path: '/tmp' }) },
          'Layers: 300 are more than 128',
        ],
        ['MappedVirtualDisk', { MountPath: '/run/m', Lun: -1 }, 'Request.Settings.Lun'],
        ['MappedVirtualDisk', { MountPath: '/run/m', Lun: 256 }, 'Request.Settings.Lun'],
        ['MappedVirtualDisk', { MountPath: '/run/m', Controller: 4 }, 'Controller: 4'],
        ['MappedVirtualDisk', { MountPath: '/run/m', Partition: 2 ** 60 }, 'Partition'],
        ['VPMemDevice', { MountPath: '' }, 'MountPath: missing'],
        ['MappedDirectory', { MountPath: '/run/m', Port: -1 }, 'Port: -1'],
        ['MappedDirectory', { MountPath: '/run/m', Port: 1, ShareName: 'a,rw' }, 'ShareName'],
        ['MappedDirectory', { MountPath: '/run/m', Port: 1, Tag: 'a' }, 'Tag'],
        ['MappedDirectory', { MountPath: '/run/m', Tag: 'x'.repeat(37) }, 'Tag'],
        ['VPCIDevice', { VMBusGUID: '../..' }, 'VMBusGUID'],
      ];
      for (const [type, settings, text] of cases) {
        expect(await refusal(modify(session, 'Add', type, settings))).toContain(text);
      }
      // A disk that is only attached.
      await modify(session, 'Add', 'MappedVirtualDisk', { Lun: 1 });
      const update = modify(session, 'Update', 'CombinedLayers', {});
      expect(await refusal(update)).toContain('the RequestType "Update" is not supported');
    }));

  test('without a scratch path they are read-only, and gone when removed', () =>
    withSession(async (session) => {
      const layers = { ContainerRootPath: '/run/l/root', Layers: [{ Path: top }, { Path: base }] };
      await modify(session, 'Add', 'CombinedLayers', layers);
      expect(await session.uvmSh('cat /run/l/root/etc/passwd')).toContain('from the top layer');
      await modify(session, 'Remove', 'CombinedLayers', layers);
      expect(await session.uvmSh('ls /run/l 2>&1 || true')).toContain('No such file');
    }));
});
