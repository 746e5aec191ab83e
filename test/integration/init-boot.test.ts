/** What init makes of a machine before the agent starts, and what it does when a step fails. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { InitLab, initProgram } from '../support/init-lab.ts';
import { memory } from '../support/proc.ts';

const READY = /agent is ready/;
const ready = 'echo agent is ready >&2; exec sleep 1000';

/** Steps that fail for the lab's lack of rights, not for what a test did. */
const LACKING = /^(take ctrl-alt-del|rlimit (nofile|memlock|nproc)): Operation not permitted/;

function failures(lab: InitLab): string[] {
  return lab.messages.filter((line) => /\(errno \d+\)$/.test(line) && !LACKING.test(line));
}

describe('a boot', () => {
  test('mounts, names and connects what the agent needs', async () => {
    await using lab = await InitLab.start({
      args: ['gcs.hostname=uvm-7', '/agent', 'one', 'two words'],
      agent: `
        awk '{ print "mount", $2, $3 }' /proc/mounts >&2
        echo "cgroup=$(tail -n1 /proc/self/cgroup) init=$(tail -n1 /proc/1/cgroup)" >&2
        echo "host=$(hostname) args=$#:$2 env=$GCS_INIT_FD" >&2
        (ls -l /proc/$$/fd >/tmp/fds)
        awk '/->/ { sub(/:.*/, "", $11); print "fd", $9, $11 }' /tmp/fds >&2
        echo "session=$(awk '{ print $6 }' /proc/$$/stat) pid=$$" >&2
        ifconfig lo >&2
        test -c /dev/ptmx && echo terminals >&2
        ${ready}`,
    });
    await lab.see(READY);
    for (const [point, type] of [
      ['/dev/pts', 'devpts'],
      ['/dev/shm', 'tmpfs'],
      ['/dev/mqueue', 'mqueue'],
      ['/run', 'tmpfs'],
      ['/tmp', 'tmpfs'],
      ['/sys/fs/cgroup', 'cgroup2'],
    ]) {
      expect(lab.console).toContain(`mount ${point} ${type}\n`);
    }
    expect(lab.console).toContain('cgroup=0::/gcs init=0::/init');
    expect(lab.console).toContain('host=uvm-7 args=2:two words env=3');
    // Above that are the shell's own.
    const descriptors = lab.console.match(/^fd [0-9] .*$/gm);
    expect(descriptors).toEqual(['fd 0 /dev/null', 'fd 1 pipe', 'fd 2 pipe', 'fd 3 socket']);
    const [, session, pid] = await lab.see(/session=(\d+) pid=(\d+)/);
    expect(session).toBe(pid);
    expect(lab.console).toContain('UP LOOPBACK RUNNING');
    expect(lab.console).toContain('terminals\n');
    expect(failures(lab)).toEqual([]);
  });

  test('on cgroup v1 mounts one hierarchy for each controller that the kernel lists', async () => {
    await using lab = await InitLab.start({
      args: ['gcs.cgroup=v1', '/agent'],
      agent: `awk '$3 == "cgroup" { print "hierarchy", $2 }' /proc/mounts >&2; ${ready}`,
    });
    await lab.see(READY);
    // A controller without a hierarchy of its own on this machine cannot get one in the lab.
    const listed = readFileSync('/proc/cgroups', 'utf8')
      .split('\n')
      .map((line) => line.split('\t'))
      .filter(([name, hierarchy, , enabled]) => name && hierarchy !== '0' && enabled === '1')
      .map(([name]) => name);
    expect(listed.length).toBeGreaterThan(0);
    for (const name of listed) {
      expect(lab.console).toContain(`hierarchy /sys/fs/cgroup/${name}\n`);
    }
  });

  test('with -w the read-only /etc and /var take changes', async () => {
    await using lab = await InitLab.start({
      args: ['-w', '/agent'],
      agent: `
        echo new >/etc/new && echo new >/var/new && cat /etc/passwd >/dev/null &&
        awk '$3 == "overlay" { print "overlay", $2 }' /proc/mounts >&2
        ${ready}`,
    });
    await lab.see(READY);
    expect(lab.console).toContain('overlay /etc\noverlay /var\n');
    expect(failures(lab)).toEqual([]);
  });

  test('takes the command line that LCOW writes', async () => {
    const bytes = Buffer.alloc(512, 7);
    await using lab = await InitLab.start(
      {
        args: '-e 1 /bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel debug'.split(' '),
        // Not the applet, should it have one of this name.
        files: { '/bin/gcs': '#!/bin/sh\necho "{\\"args\\":\\"$*\\"}" >&2; exec sleep 1000\n' },
      },
      { 1: (socket) => socket.end(bytes), 109: () => {} },
    );
    const port = lab.ports[1];
    await port?.transcript.until((text) => text.includes('"args"'));
    const lines = (port?.transcript.text ?? '').trimEnd().split('\n');
    // A reader of JSON lines can read them all, init's own too.
    const parsed = lines.map((line) => JSON.parse(line));
    expect(parsed).toContainEqual({ args: '-v4 -log-format json -loglevel debug' });
    expect(parsed).toContainEqual(
      expect.objectContaining({ level: 'info', msg: expect.stringMatching(/gcs started, pid/) }),
    );
    await lab.see(/"args":"-v4/);
  });

  test('starts a debug shell on the console', async () => {
    await using lab = await InitLab.start({
      args: ['-d', '/shell', '/agent'],
      files: { '/shell': '#!/bin/sh\necho this is the shell; exec sleep 1000\n' },
    });
    await lab.see(/this is the shell/);
    // What init says and what the shell writes come over the same console in either order.
    await lab.see(/\/shell started, pid/);
    await lab.see(/\/agent started, pid/);
  });

  test('takes no more arguments for the agent than it has room for, and says so', async () => {
    await using lab = await InitLab.start({
      args: ['/agent', ...Array.from({ length: 140 }, (_, i) => `a${i}`)],
      files: { '/agent': '#!/bin/sh\necho "$# arguments" >&2; exec sleep 1000\n' },
    });
    await lab.see(/more than 128 arguments, the rest is ignored/);
    await lab.see(/127 arguments/);
  });

  test('ignores what it does not understand, and says so', async () => {
    const long = 'x'.repeat(65);
    await using lab = await InitLab.start({
      args: [`gcs.hostname=${long}`, 'gcs.cgroup=v3', '-z', '-e', '70000000000', '/agent'],
      agent: ready,
    });
    await lab.see(READY);
    expect(lab.messages).toContain('gcs.hostname: longer than 64 bytes, ignored');
    expect(lab.messages).toContain('gcs.cgroup=v3: neither v1 nor v2, ignored');
    expect(lab.messages).toContain('unknown option -z, ignored');
    expect(lab.messages).toContain('-e 70000000000: not a port, ignored');
  });
});

describe('a step that fails is named and the boot goes on', () => {
  test('modules that are missing or no modules', async () => {
    await using lab = await InitLab.start({
      agent: ready,
      files: {
        '/etc/gcs/modules':
          '# boot modules\n/lib/none.ko\n\n/lib/text.ko debug=1\n/lib/last.ko.xz\n-/lib/gone.ko\n',
        '/lib/text.ko': 'no module',
      },
    });
    await lab.see(READY);
    expect(failures(lab)).toEqual([
      'module /lib/none.ko: No such file or directory (errno 2)',
      // Loading needs a right that the lab does not have, and a kernel that loads modules.
      expect.stringMatching(/^module \/lib\/text.ko: (Operation not perm|Function not impl)/),
      'module /lib/last.ko.xz: No such file or directory (errno 2)',
      // That it may find no device is no excuse for a file that is not there.
      'module /lib/gone.ko: No such file or directory (errno 2)',
    ]);
  });

  test('a mount whose place is a file', async () => {
    await using lab = await InitLab.start({
      agent: ready,
      edit: (root) => {
        rmSync(join(root, 'run'), { recursive: true });
        writeFileSync(join(root, 'run'), '');
      },
    });
    await lab.see(READY);
    expect(failures(lab)).toContain('mount tmpfs on /run: Not a directory (errno 20)');
    expect(failures(lab)).toContainEqual(expect.stringMatching(/^open .*: no exit records: Not a/));
  });

  test('a root that cannot be mounted: the initramfs is the root', async () => {
    await using lab = await InitLab.start({
      args: ['gcs.root=/dev/sdz:erofs', '/agent'],
      agent: ready,
    });
    await lab.see(READY);
    expect(failures(lab)).toEqual([
      expect.stringMatching(/^mount root \/dev\/sdz: .*\(errno \d+\)$/),
    ]);
  });

  test('a root without init: the initramfs is the root', async () => {
    await using lab = await InitLab.start({
      args: ['gcs.root=/dev/sdz', '/agent'],
      prepare: 'mkdir "$1/newroot" && mount -t tmpfs empty "$1/newroot"',
      agent: ready,
    });
    await lab.see(READY);
    expect(failures(lab)).toEqual([
      'root /dev/sdz: /sbin/init: No such file or directory (errno 2)',
    ]);
  });

  test.each([
    ['nobody listens', undefined, /^entropy port 1: No such file or directory/],
    ['too few bytes', 100, /^entropy port 1: 100 of 512 bytes: No data available/],
    ['a host that says nothing', 0, /^entropy port 1: 0 of 512 bytes: Operation timed out/],
  ])('entropy: %s', async (_, bytes, expected) => {
    const serve =
      bytes === undefined
        ? {}
        : {
            1: (socket: { write(data: Buffer): void; end(): void }) => {
              if (bytes > 0) socket.write(Buffer.alloc(bytes));
              if (bytes > 0) socket.end();
            },
          };
    await using lab = await InitLab.start({ args: ['-e', '1', '/agent'], agent: ready }, serve);
    await lab.see(READY);
    expect(failures(lab)[0]).toMatch(expected);
  });
});

test('the seed goes to /dev/random', async () => {
  await using lab = await InitLab.start(
    { args: ['-e', '1', '/agent'], agent: ready },
    { 1: (socket) => socket.end(Buffer.alloc(600, 1)) },
  );
  await lab.see(READY);
  // In the lab that is a plain file, which says that it was asked.
  expect(failures(lab)).toEqual(['entropy: add to /dev/random: Not a tty (errno 25)']);
});

test('the root file system takes over, and the initramfs is emptied', async () => {
  await using lab = await InitLab.start({
    args: ['gcs.root=/dev/vda:erofs', 'gcs.hostname=switched', '/agent'],
    files: { '/usr/lib/deep/er/file': 'x' },
    prepare: `
      mkdir "$1/newroot"
      mount -t tmpfs -o mode=755 root "$1/newroot"
      cp -R -P -p "$(dirname "$0")/root/." "$1/newroot"
      mkdir -p "$1/newroot/host" "$1/newroot/initramfs"
      echo '#!/bin/sh' >"$1/newroot/agent"
      echo 'echo "root=$(awk "\\$2 == \\"/\\" { print \\$1 }" /proc/mounts) host=$(hostname)" >&2' >>"$1/newroot/agent"
      echo 'echo "left=$(find /initramfs -type f | wc -l) $GCS_INIT_ROOT" >&2' >>"$1/newroot/agent"
      echo 'echo agent is ready >&2; exec sleep 1000' >>"$1/newroot/agent"
      mount --bind "$1" "$1/newroot/initramfs"`,
    agent: 'echo wrong root >&2; exec sleep 1000',
  });
  await lab.see(READY);
  expect(lab.messages).toContain('start on the root file system');
  expect(lab.console).toContain('root=root host=switched\n');
  expect(lab.console).toContain('left=0 \n');
  expect(failures(lab)).toEqual([]);
});

test('init is small: a static program of at most 100 KiB that takes at most 1 MiB of memory', async () => {
  expect(statSync(initProgram()).size).toBeLessThanOrEqual(100 * 1024);
  const header = spawnSync('readelf', ['-l', initProgram()], { encoding: 'utf8' }).stdout;
  expect(header).toContain('LOAD');
  expect(header).not.toContain('INTERP');
  // With every buffer full: a host whose log port never comes, and more log than they hold.
  await using lab = await InitLab.start({
    args: ['/bin/vsockexec', '-o', '108', '-e', '109', '/agent'],
    agent: `yes 'a line of the log' | head -c 200000; yes x | head -c 200000 >&2; ${ready}`,
  });
  await lab.see(READY);
  expect(memory(lab.pid).rss).toBeLessThanOrEqual(1024);
});

test('anybody but PID 1 is refused', () => {
  const { status, stderr } = spawnSync(initProgram(), [], { encoding: 'utf8' });
  expect(status).toBe(64);
  expect(stderr).toBe('init: only PID 1 can be init; elsewhere: init --supervise -- PROGRAM\n');
});

test('as vsockexec it connects the streams and becomes the program', async () => {
  await using lab = await InitLab.start({
    edit: (root) => symlinkSync('/sbin/init', join(root, 'bin/vsockexec')),
    agent: ready,
  });
  await lab.see(READY);
  const { status, stderr } = spawnSync('chroot', [join(lab.directory, 'root'), '/bin/vsockexec'], {
    encoding: 'utf8',
  });
  expect(stderr).toContain('usage: vsockexec');
  expect(status).toBe(64);
});
