/** The warning of an agent that uses much memory, on cgroup v2. Run in a guest by test/vm/pods.test.ts. */
import { execFile } from 'node:child_process';
import { readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { watchAgent } from '../../src/cgroup/agent-memory.ts';
import { type LogFields, type Logger, silentLogger } from '../../src/log/logger.ts';

/** Not the agent's own: what is done here to its memory would put it to sleep for minutes. */
const NAME = '/gcs-test-memory';
const DIRECTORY = `/sys/fs/cgroup${NAME}`;
const MIB = 1024 * 1024;

const home = `/sys/fs/cgroup${readFileSync('/proc/self/cgroup', 'utf8').trim().slice('0::'.length)}`;

afterEach(() => {
  writeFileSync(`${home}/cgroup.procs`, `${process.pid}`);
  rmdirSync(DIRECTORY);
});

/** Beyond memory.high the kernel makes who takes more wait: this process takes none meanwhile. */
const STALL = `cd ${DIRECTORY} && echo $$ >cgroup.procs || exit 1
  trap 'echo max >memory.high; rm -f /run/ballast' EXIT
  dd if=/dev/zero of=/run/ballast bs=1M count=64 2>/dev/null
  chunk=$(printf %65536s); echo 32M >memory.high
  for i in 1 2 3; do printf %s "$chunk" >>/run/ballast; done`;

it('warns with usage and mark when it waits for memory, and once for each doubling', async () => {
  const told = Promise.withResolvers<LogFields | undefined>();
  const warnings: string[] = [];
  const log: Logger = {
    ...silentLogger,
    with: () => log,
    warning: (message, fields) => {
      warnings.push(message);
      told.resolve(fields);
    },
  };
  using _watch = await watchAgent({ agentBytes: 32 * MIB, cgroup: NAME, log });
  const stall = promisify(execFile)('/bin/sh', ['-c', STALL]);
  expect(await told.promise).toMatchObject({ threshold: 32 * MIB });
  await stall;
  expect(warnings).toEqual(['the agent uses more memory than expected']);
});
