import { expect, test } from 'vitest';
import { InitPower } from './init-power.ts';

function scripted(reply: string): { power: InitPower; requests: string[] } {
  const requests: string[] = [];
  const power = new InitPower({
    async request(text) {
      requests.push(text);
      return reply;
    },
  });
  return { power, requests };
}

test('a shutdown is a power-off', async () => {
  const { power, requests } = scripted('ok');
  await power.shutdown();
  expect(requests).toEqual(['poweroff']);
});

test('a refusal is told with its reason', async () => {
  const { power } = scripted('error already going down');
  await expect(power.shutdown()).rejects.toThrow('poweroff: error already going down');
});
