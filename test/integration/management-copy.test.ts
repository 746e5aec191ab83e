import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf, freshId, type Managed, withManagement } from '../support/management.ts';
import { testVm, useRootfs } from '../support/suite.ts';

useRootfs();

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-copy-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A container whose writable parts are a tmpfs of its own. */
async function sleeper(managed: Managed): Promise<string> {
  const id = freshId('copy');
  const mounts = [{ destination: '/mnt', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] }];
  await managed.run(id, { args: ['sleep', 'infinity'], mounts });
  return id;
}

/** An archive that GNU tar makes of names in the directory of the test. */
function archiveOf(...names: string[]): Buffer {
  return execFileSync('tar', ['-C', directory, '-cf', '-', ...names]);
}

async function copyIn(managed: Managed, id: string, path: string, archive: Buffer) {
  const { stream, done } = await managed.client.stream('container.copyIn', { id, path });
  const sent = pipeline(Readable.from([archive], { objectMode: false }), stream).catch(() => {});
  const result = await done;
  await sent;
  return result;
}

async function copyOut(managed: Managed, id: string, path: string): Promise<Buffer> {
  const { stream, done } = await managed.client.stream('container.copyOut', { id, path });
  const [archive] = await Promise.all([buffer(stream), done]);
  return archive;
}

describe('files of every kind', () => {
  test('go into a container and come back as they were', async () => {
    mkdirSync(join(directory, 'tree/sub'), { recursive: true });
    writeFileSync(join(directory, 'tree/file'), 'content', { mode: 0o640 });
    writeFileSync(join(directory, `tree/sub/${'long'.repeat(40)}`), Buffer.alloc(700_001, 7));
    writeFileSync(join(directory, 'tree/ünïcode'), '');
    linkSync(join(directory, 'tree/file'), join(directory, 'tree/again'));
    symlinkSync('/etc/passwd', join(directory, 'tree/link'));
    await withManagement(async (managed) => {
      const id = await sleeper(managed);
      const result = await copyIn(managed, id, '/mnt', archiveOf('tree'));
      expect(result).toMatchObject({ entries: 7, bytes: 700_008 });
      const { stdout } = await managed.sh(
        id,
        'cd /mnt/tree; stat -c "%n %a %h" file again; cat file; readlink link; ls sub | wc -c',
      );
      expect(stdout).toBe('file 640 2\nagain 640 2\ncontent/etc/passwd\n161\n');

      writeFileSync(join(directory, 'back.tar'), await copyOut(managed, id, '/mnt/tree'));
      mkdirSync(join(directory, 'back'));
      execFileSync('tar', ['-C', join(directory, 'back'), '-xf', join(directory, 'back.tar')]);
      execFileSync('diff', [
        '-r',
        '--no-dereference',
        join(directory, 'tree'),
        join(directory, 'back/tree'),
      ]);
      expect(readlinkSync(join(directory, 'back/tree/link'))).toBe('/etc/passwd');
      const [one, other] = ['file', 'again'].map((n) => lstatSync(join(directory, 'back/tree', n)));
      expect(one?.ino).toBe(other?.ino);
      // The archive that went in had whole seconds.
      const { mtimeMs } = lstatSync(join(directory, 'tree/file'));
      expect(one?.mtimeMs).toBe(Math.floor(mtimeMs / 1000) * 1000);
      await managed.remove(id);
    });
  });

  test('an archive as it comes from a pipe, larger than every buffer, is taken', async () => {
    await withManagement(async (managed) => {
      const id = await sleeper(managed);
      const big = join(directory, 'big');
      writeFileSync(big, Buffer.alloc(20_000_000, 'x'));
      const tar = spawn('tar', ['-C', directory, '-cf', '-', 'big'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(tar, 'exit');
      const progress: unknown[] = [];
      const { stream, done } = await managed.client.stream(
        'container.copyIn',
        { id, path: '/mnt' },
        { onProgress: (value) => progress.push(value) },
      );
      await Promise.all([pipeline(tar.stdout, stream), done, exited]);
      expect((await managed.sh(id, 'wc -c < /mnt/big')).stdout).toBe('20000000\n');
      await managed.remove(id);
    });
  });
});

describe('nothing leads out of the container', () => {
  const outside = '/gcs-escaped';

  test('neither a name, nor a link that was there, nor one the archive brings', async () => {
    mkdirSync(join(directory, 'a'));
    writeFileSync(join(directory, 'a/gcs-escaped'), 'x');
    await withManagement(async (managed) => {
      const id = await sleeper(managed);
      await managed.sh(
        id,
        'mkdir /mnt/root; ln -s / /mnt/abs; ln -s ../../../../../.. /mnt/up; ln -s /proc/1/root /mnt/magic',
      );
      const archive = archiveOf('a');
      // What was "/" or above it is the container's root, which cannot be written to or is not harmed.
      for (const link of ['abs', 'up']) {
        await copyIn(managed, id, `/mnt/${link}/mnt/root`, archive);
      }
      expect((await managed.sh(id, 'ls /mnt/root/a')).stdout).toBe('gcs-escaped\n');
      expect(await codeOf(copyIn(managed, id, '/mnt/magic', archive))).not.toBe('no error');

      const evil = join(directory, 'evil');
      mkdirSync(evil);
      symlinkSync('/', join(evil, 'way'));
      const first = execFileSync('tar', ['-C', evil, '-cf', '-', 'way']);
      rmSync(join(evil, 'way'));
      mkdirSync(join(evil, 'way/mnt'), { recursive: true });
      writeFileSync(join(evil, 'way/mnt/gcs-escaped'), 'x');
      const second = execFileSync('tar', ['-C', evil, '-cf', '-', 'way/mnt/gcs-escaped']);
      await copyIn(managed, id, '/mnt/root', first);
      await copyIn(managed, id, '/mnt/root', second);
      expect((await managed.sh(id, 'ls /mnt')).stdout).toContain('gcs-escaped');

      const up = execFileSync('tar', [
        '-P',
        '-C',
        join(directory, 'a'),
        '-cf',
        '-',
        '--transform',
        's,^,../../,',
        'gcs-escaped',
      ]);
      expect(await codeOf(copyIn(managed, id, '/mnt/root', up))).toBe('invalid-argument');
      if (testVm === undefined) expect(existsSync(outside)).toBe(false);
      await managed.remove(id);
    });
  });

  test('neither in what is copied out', async () => {
    await withManagement(async (managed) => {
      const id = await sleeper(managed);
      await managed.sh(id, 'ln -s ../../../../../../mnt /mnt/up; echo inside > /mnt/file');
      const archive = await copyOut(managed, id, '/mnt/up/up/../../../../../mnt/file');
      expect(execFileSync('tar', ['-xOf', '-'], { input: archive }).toString()).toBe('inside\n');
      expect(await codeOf(copyOut(managed, id, '/proc/1/root/mnt'))).not.toBe('no error');
      await managed.remove(id);
    });
  });
});

test('what is not there, and what is no archive, is said; the container goes on', async () => {
  await withManagement(async (managed) => {
    const id = await sleeper(managed);
    expect(await codeOf(copyOut(managed, id, '/mnt/none'))).toBe('path-not-found');
    expect(await codeOf(copyIn(managed, id, '/mnt/none', archiveOf('.')))).toBe('path-not-found');
    expect(await codeOf(copyIn(managed, id, '/mnt', Buffer.alloc(1024, 'x')))).toBe(
      'invalid-argument',
    );
    expect(await codeOf(copyOut(managed, 'nobody', '/mnt'))).toBe('container-not-found');
    await managed.remove(id);
  });
});

test('a container that does not run is copied from too', async () => {
  await withManagement(async (managed) => {
    const id = freshId('made');
    await managed.create(id, { args: ['true'] });
    await managed.client.start(id);
    await managed.call('container.wait', { id });
    const archive = await copyOut(managed, id, '/etc/passwd');
    expect(archive.toString('latin1')).toContain('root:x:0:0');
    await managed.remove(id);
  });
});
