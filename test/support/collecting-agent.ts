/**
 * An agent that starts children as fast as it can and writes down how each ended, in the two steps
 * of collecting: below DIRECTORY, journal/PID.START has the code, when the agent had it. Each child
 * writes expected/PID.START itself before it ends. With a step it kills itself there, once for each
 * child that has a number dividable by 7; otherwise it runs until it is killed. When DIRECTORY/stop
 * is there it starts none, and lives on.
 *
 *   collecting-agent.ts DIRECTORY before|written|collected|none
 */
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { InitChannel } from '../../src/os/init-channel.ts';
import { exitCodeOf } from '../../src/os/process.ts';
import { Reaper } from '../../src/os/reaper.ts';

const [directory = '', step = 'none'] = process.argv.slice(2);
const channel = InitChannel.fromEnvironment();
const reaper = Reaper.start();
const env = [`PATH=${process.env.PATH}`];
/** The child knows itself as /proc does. */
const CHILD = `read -r stat </proc/$$/stat; set -- $stat; name=$$.\${22}
  echo $0 >"$DIRECTORY/expected/.$name"; mv "$DIRECTORY/expected/.$name" "$DIRECTORY/expected/$name"
  [ $0 != 137 ] || kill -9 $$; exit $0`;

for (const name of ['expected', 'journal']) mkdirSync(join(directory, name), { recursive: true });

function writeDown(name: string, code: number): void {
  const path = join(directory, 'journal', name);
  const fd = openSync(`${path}.new`, 'w');
  writeSync(fd, `${code}`);
  closeSync(fd);
  renameSync(`${path}.new`, path);
}

let number = process.pid;

async function one(): Promise<void> {
  const code = [0, 1, 42, 137, 255][number++ % 5] ?? 0;
  const deadly = number % 7 === 0;
  const die = (at: string): void => {
    if (deadly && at === step) process.kill(process.pid, 'SIGKILL');
  };
  const child = reaper.spawn({
    file: 'sh',
    args: [`${code}`, '-c', CHILD, `${code}`],
    env: [...env, `DIRECTORY=${directory}`],
    stdio: [null, null, 2],
  });
  const name = `${child.pid}.${child.startTime}`;
  child.beforeCollect = ({ status }) => {
    die('before');
    writeDown(name, exitCodeOf(status));
    die('written');
  };
  await child.exited;
  die('collected');
}

// Died however often, it is started at once.
await channel?.request('ready');
if (existsSync(join(directory, 'stop'))) {
  console.log('idle');
  process.stdin.resume();
} else {
  console.log('busy');
  // More than one at a time, so that there are always some that have ended.
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      for (;;) await one();
    }),
  );
}
