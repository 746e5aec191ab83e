import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { NULL_CONTAINER, RAW, RAW_BRIDGE_PORT } from '../../test/support/raw-client.ts';
import { atMost, type Figure, median } from '../figures.ts';
import { leanFrame } from '../lean-client.ts';
import type { MeasureContext, Subject } from '../subject.ts';
import { milliseconds } from '../timing.ts';

const NEGOTIATE = leanFrame(
  RAW.negotiate,
  `{"ContainerId":"${NULL_CONTAINER}","ActivityId":"${NULL_CONTAINER}","MinimumVersion":4,"MaximumVersion":4}\n`,
);

function run(command: readonly string[]): ChildProcess {
  const [file = '', ...args] = command;
  return spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/**
 * From spawning the agent to its reply to Negotiate, for a host that listens already and does
 * nothing else. Rejects when the agent ends instead.
 */
async function untilNegotiated(subject: Subject, directory: string): Promise<number> {
  const path = join(mkdtempSync(join(directory, 'start-')), 'v');
  await using server = createServer().listen(`${path}_${RAW_BRIDGE_PORT}`);
  await once(server, 'listening');
  const dialed = once(server, 'connection') as Promise<[Socket]>;
  const command = subject.command.map((part) => part.replaceAll('{PATH}', path));
  let agent: ChildProcess | undefined;
  let exited: Promise<unknown[]> | undefined;
  try {
    return await milliseconds(async () => {
      agent = run(command);
      exited = once(agent, 'exit');
      const ended = exited.then(([code, signal]) => {
        throw new Error(
          `${command.join(' ')} ended with ${signal ?? code} before it was negotiated`,
        );
      });
      const [socket] = await Promise.race([dialed, ended]);
      socket.write(NEGOTIATE);
      await Promise.race([once(socket, 'data'), ended]);
    });
  } finally {
    agent?.kill('SIGTERM');
    await exited;
  }
}

export async function measureStart({
  subject,
  quick,
  directory,
  progress,
}: MeasureContext): Promise<Figure[]> {
  const agent: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < (quick ? 7 : 20); round += 1) {
    progress(`start ${round + 1}`);
    agent.push(await untilNegotiated(subject, directory));
    bare.push(await milliseconds(() => once(run([process.execPath, '-e', '0']), 'exit')));
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
