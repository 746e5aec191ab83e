import { expect, test } from 'vitest';
import { untilProcessEnds } from './process-end.ts';
import { Reaper } from './reaper.ts';

/** Of somebody's child: its status is the reaper's to collect. */
function sleeper(reaper: Reaper) {
  const env = ['PATH=/usr/bin:/bin'];
  return reaper.spawn({ file: 'sleep', args: ['sleep', '1000'], env, stdio: [null, null, null] });
}

test('resolves when the process ends, and at once for one that is gone', async () => {
  using reaper = Reaper.start();
  const child = sleeper(reaper);
  const end = untilProcessEnds(child.pid);
  expect(child.status).toBeUndefined();
  child.signal(15);
  await end;
  await child.exited;
  await untilProcessEnds(child.pid);
});

test("rejects with the signal's reason", async () => {
  using reaper = Reaper.start();
  const child = sleeper(reaper);
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(untilProcessEnds(child.pid, { signal })).rejects.toThrow('enough');
  child.signal(9);
  await child.exited;
});
