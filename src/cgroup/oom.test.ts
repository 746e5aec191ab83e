import { describe, expect, test } from 'vitest';
import { makeTree } from './fixtures/tree.ts';
import { v1Controllers, v1Files } from './fixtures/v1.ts';
import { v2Files } from './fixtures/v2.ts';
import { readOomKills } from './oom.ts';

describe('kills for memory', () => {
  test('v1: of the cgroup and of those below it', () => {
    const control = 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n';
    const root = makeTree({
      ...v1Files,
      'memory/a/memory.oom_control': control,
      'memory/a/b/memory.oom_control': control,
    });
    expect(readOomKills({ controllers: v1Controllers(root), unified: undefined })).toBe(8);
  });

  test('v2: as the kernel sums them up', () => {
    expect(readOomKills({ controllers: new Map(), unified: makeTree(v2Files) })).toBe(2);
  });

  test('undefined where memory is not counted, and when the cgroup is gone', () => {
    const empty = makeTree({ 'cgroup.events': 'populated 0\n' });
    expect(readOomKills({ controllers: new Map(), unified: empty })).toBeUndefined();
    expect(readOomKills({ controllers: new Map(), unified: undefined })).toBeUndefined();
    const controllers = v1Controllers(`${empty}/gone`);
    expect(readOomKills({ controllers, unified: undefined })).toBeUndefined();
  });
});
