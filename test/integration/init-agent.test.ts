/** The agent's life under init: starts, ends, back-off, its log, its channel, its power. */
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { ask, InitLab } from '../support/init-lab.ts';

const idle = 'exec sleep 1000';

describe('an agent that ends', () => {
  test('is started again, at once and then later each time, up to five seconds', async () => {
    await using lab = await InitLab.start({ agent: 'exit 3' });
    await lab.see(/again in 5000 ms/);
    const delays = lab.messages.flatMap((line) => {
      const match = line.match(/^\/agent ended, exit code 3, again in (\d+) ms$/);
      return match ? [Number(match[1])] : [];
    });
    expect(delays).toEqual([0, 100, 200, 400, 800, 1600, 3200, 5000]);
  });

  test('after ten seconds of life is started at once as the first time', async () => {
    await using lab = await InitLab.start({
      agent: `
        count=$(cat /run/count 2>/dev/null || echo 0); echo $((count + 1)) >/run/count
        [ $count = 2 ] && exec sleep 10.1
        exit 4`,
    });
    await lab.see(/exit code 0, again in \d+ ms/);
    const delays = lab.messages.flatMap((line) => line.match(/again in (\d+) ms/)?.[1] ?? []);
    expect(delays).toEqual(['0', '100', '0']);
  });

  test('having said that it is ready, is started at once however short it lived', async () => {
    await using lab = await InitLab.start({
      agent: `
        count=$(cat /run/count 2>/dev/null || echo 0); echo $((count + 1)) >/run/count
        [ $count -lt 4 ] || ${idle}
        [ $count -lt 2 ] || { ${ask('ready')}; }
        exit 4`,
    });
    await lab.see(/(again in \d+ ms[\s\S]*){4}/);
    const delays = lab.messages.flatMap((line) => line.match(/again in (\d+) ms/)?.[1] ?? []);
    expect(delays).toEqual(['0', '100', '0', '0']);
    expect(lab.console.match(/^reply=.*$/gm)).toEqual(['reply=ok', 'reply=ok']);
  });

  test('killed, leaves its containers running, and the next one finds what became of them', async () => {
    await using lab = await InitLab.start({
      agent: `
        if [ ! -e /run/container ]; then
          setsid sh -c 'trap "exit 9" USR1; while :; do sleep 1000 & wait; done' &
          echo $! >/run/container
        fi
        echo "ready, container $(cat /run/container)" >&2
        until grep -qs '^1 9 ' /run/gcs/exits/$(cat /run/container).*; do usleep 10000; done
        echo "the container has exited with 9" >&2
        ${idle}`,
    });
    const [, container = ''] = await lab.see(/ready, container (\d+)/);
    const [, first = ''] = await lab.see(/\/agent started, pid (\d+)/);
    const outer = lab.outerPid(Number(container));
    process.kill(lab.outerPid(Number(first)), 'SIGKILL');
    await lab.see(/\/agent ended, signal 9, again in 0 ms/);
    await lab.see(/ready, container \d+[\s\S]*ready, container \d+/);
    process.kill(outer, 'SIGUSR1');
    await lab.see(/the container has exited with 9/);
  });

  test('and one that is missing is tried until it is there', async () => {
    await using lab = await InitLab.start({ args: ['/late'] });
    await lab.see(
      /exec \/late: No such file or directory \(errno 2\)[\s\S]*code 127, again in 400/,
    );
    lab.sh(`printf '#!/bin/sh\necho here at last >&2; exec sleep 1000\n' >/late; chmod 755 /late`);
    await lab.see(/here at last/);
  });
});

describe('the log', () => {
  test('goes to the console and to the host, which is told again when it comes back', async () => {
    await using lab = await InitLab.start({
      args: ['/bin/vsockexec', '-e', '109', '/agent'],
      agent: `exec 8<>/host/say; while read -r line <&8; do echo "$line" >&2; done; ${idle}`,
      prepare: 'mkfifo "$1/host/say"',
    });
    const say = (text: string) => writeFile(lab.inside('host/say'), `${text}\n`);
    await lab.see(/log port 109: No such file or directory/);
    await say('nobody listens');
    await lab.see(/^nobody listens$/m);
    const first = await lab.listen(109);
    await first.transcript.until((text) => text.includes('nobody listens\n'));
    await lab.see(/log port 109: connected/);

    await first[Symbol.asyncDispose]();
    await lab.see(/log port 109: Connection reset by peer/);
    await say('the host is away');
    await lab.see(/^the host is away$/m);
    const second = await lab.listen(109);
    await second.transcript.until((text) => text.includes('the host is away\n'));
    // Nothing twice.
    expect(second.transcript.text).not.toContain('nobody listens');
  });

  test('waits for nobody: what does not fit is dropped by lines and counted', async () => {
    await using lab = await InitLab.start({
      args: ['/bin/vsockexec', '-e', '109', '/agent'],
      agent: `seq 1 20000 | sed 's/.*/line & of many/' >&2; echo all is said >&2; ${idle}`,
    });
    await lab.see(/all is said/);
    const port = await lab.listen(109);
    await port.transcript.until((text) => text.includes('all is said\n'));
    const lines = port.transcript.text.split('\n');

    const [, dropped] = lines[0]?.match(/^init: (\d+) bytes of log dropped$/) ?? [];
    expect(Number(dropped)).toBeGreaterThan(200_000);
    const numbers = lines
      .flatMap((line) => line.match(/^line (\d+) of many$/)?.[1] ?? [])
      .map(Number);
    expect(numbers.at(-1)).toBe(20_000);
    expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
    // Every line is whole: of the agent, or of init.
    expect(
      lines
        // The first is the notice, the last not yet whole.
        .slice(1, -1)
        .filter((line) => !/^(line \d+ of many|all is said|\[.*\] init: .*|)$/.test(line)),
    ).toEqual([]);
    // The whole of it less what is told as dropped.
    const all = Array.from({ length: 20_000 }, (_, i) => `line ${i + 1} of many\n`).join('').length;
    const kept = numbers.map((n) => `line ${n} of many\n`).join('').length;
    expect(all - kept).toBeLessThanOrEqual(Number(dropped));
  });

  test('of a host that reads nothing keeps neither the agent nor init waiting', async () => {
    await using lab = await InitLab.start(
      {
        args: ['/bin/vsockexec', '-e', '109', '/agent'],
        agent: `yes 'a line that nobody reads' | head -c 3000000 >&2; trap '' TERM; ${ask('poweroff')}`,
      },
      { 109: (socket) => socket.pause() },
    );
    expect(await lab.exited).toBe(70);
    expect(lab.console).toContain('reply=ok');
  });

  test('has two ports when the command line names two', async () => {
    await using lab = await InitLab.start(
      {
        args: ['/bin/vsockexec', '-o', '108', '-e', '109', '/agent'],
        agent: `echo to out; echo to err >&2; ${idle}`,
      },
      { 108: () => {}, 109: () => {} },
    );
    const [out, err] = lab.ports;
    await out?.transcript.until((text) => text.includes('to out\n'));
    await err?.transcript.until((text) => text.includes('to err\n'));
    expect(out?.transcript.text).toBe('to out\n');
    expect(err?.transcript.text).not.toContain('to out');
  });
});

describe('the init channel', () => {
  test('answers what it does not know, and goes on', async () => {
    await using lab = await InitLab.start({
      agent: `
        ${ask('selfdestruct')}
        ${ask('x'.repeat(300))}
        ${ask('poweroff now')}
        echo still here >&2
        ${idle}`,
    });
    await lab.see(/still here/);
    expect(lab.console.match(/^reply=.*$/gm)).toEqual([
      'reply=error unknown request',
      'reply=error request too long',
      'reply=error unknown request',
    ]);
    expect(lab.messages).toContain("init channel: unknown request 'selfdestruct'");
  });

  test('is a new one for each agent', async () => {
    await using lab = await InitLab.start({
      agent: `${ask('hello')}; exit 0`,
    });
    await lab.see(/(reply=error unknown request[\s\S]*){3}/);
  });

  test('stays closed when the agent has closed it', async () => {
    await using lab = await InitLab.start({ agent: `exec 3>&-; echo closed >&2; ${idle}` });
    await lab.see(/closed/);
    process.kill(lab.pid, 'SIGTERM');
    expect(await lab.exited).toBe(70);
  });
});

test('a lab that is over leaves nothing on the machine', async () => {
  const lab = await InitLab.start({ agent: `echo up >&2; ${idle}` });
  await lab.see(/up/);
  await lab[Symbol.asyncDispose]();
  expect(existsSync(lab.directory)).toBe(false);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(lab.directory);
  expect(lab.cgroups.length).toBeGreaterThan(0);
  expect(lab.cgroups.filter((path) => existsSync(path))).toEqual([]);
});
