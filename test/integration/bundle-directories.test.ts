import { expect, test } from 'vitest';
import { create } from '../support/raw-flows.ts';
import { bundleOf, type Session, spec, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

const sleeper = { args: ['sleep', '1000'] };

function createAt(s: Session, id: string, bundle: string, extra: object = {}): Promise<void> {
  return create(s.bridge, id, bundle, spec(sleeper), extra);
}

const refused = expect.objectContaining({ hresult: 0x80070057 });

test('no container is given the bundle of another, or a directory above it, to remove', () =>
  withSession(async (s) => {
    await s.create('owner', sleeper);
    await expect(createAt(s, 'thief', bundleOf('owner'))).rejects.toEqual(refused);
    for (const ScratchDirPath of [bundleOf('owner'), '/run/gcs/c', '/run/gcs']) {
      const stolen = createAt(s, 'thief', bundleOf('thief'), { ScratchDirPath });
      await expect(stolen).rejects.toEqual(refused);
    }
    expect(await s.uvmSh(`ls ${bundleOf('owner')}/config.json`)).toContain('config.json');
    // Inside of it is where workloads of a pod have theirs.
    const inside = `${bundleOf('owner')}/scratch/guest`;
    await createAt(s, 'guest', bundleOf('guest'), { ScratchDirPath: inside });
    await s.delete('guest');
    await s.delete('owner');
  }));

test('of two creates at once with one bundle, one is refused', () =>
  withSession(async (s) => {
    const both = ['left', 'right'].map((id) => createAt(s, id, bundleOf('shared')).then(() => id));
    const results = await Promise.allSettled(both);
    const made = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(made).toHaveLength(1);
    for (const id of made) await s.delete(id);
  }));
