import { spawnSync } from 'node:child_process';
import { atMost, type Figure, median } from '../figures.ts';
import { type MeasureContext, startSubject } from '../subject.ts';

/** From spawning the agent to the reply to Negotiate. */
export async function measureStart({
  subject,
  quick,
  progress,
}: MeasureContext): Promise<Figure[]> {
  const agent: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < (quick ? 7 : 20); round += 1) {
    progress(`start ${round + 1}`);
    const started = performance.now();
    {
      await using raw = await startSubject(subject);
      agent.push(performance.now() - started);
      raw.bridge.close();
    }
    const bareStarted = performance.now();
    spawnSync(process.execPath, ['-e', '0']);
    bare.push(performance.now() - bareStarted);
  }
  const value = median(agent);
  return [
    {
      name: 'start.p50',
      label: 'start to negotiated, p50',
      value,
      unit: 'ms',
      better: 'lower',
      references: [{ name: 'node -e 0', value: median(bare) }],
      target: atMost(value, 60, '≤ 60 ms'),
    },
  ];
}
