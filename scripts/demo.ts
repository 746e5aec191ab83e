/**
 * The demonstration behind `npm start`: an agent on an emulated vsock, a host that runs a real
 * container through it, and every step told as it happens. Leaves nothing behind, also when it
 * fails or is interrupted.
 */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import {
  defaultProcess,
  defaultSpec,
  EmulatedHost,
  GuestClient,
  type GuestContainer,
  type GuestProcess,
} from '../src/client/index.ts';
import { DemoAgent } from './demo/agent.ts';
import { Interruption } from './demo/interruption.ts';
import { Story } from './demo/story.ts';
import { Workplace } from './demo/workplace.ts';

const SCRIPT = `
echo "hello from $(hostname), pid $$, on $(uname -sr)"
echo "this line goes to stderr" >&2
read answer
echo "read from stdin: $answer"
exit 42
`;

const story = new Story();

/** Tells each line of a stream as it comes; resolves at its end. */
function tellLines(stream: Readable | undefined, name: string): Promise<void> {
  if (!stream) return Promise.resolve();
  const lines = createInterface({ input: stream });
  lines.on('line', (line) => story.output(name, line));
  return new Promise((resolve) => lines.once('close', resolve));
}

async function tellUse(container: GuestContainer): Promise<void> {
  const [processes, stats] = await Promise.all([container.processes(), container.stats()]);
  const cpu = Number(stats.cpu?.usage?.total ?? 0) / 1e6;
  const memory = Number(stats.memory?.usage?.usage ?? 0) / 1024;
  story.host(
    `statistics: ${processes.length} process, ${memory.toFixed(0)} KiB of memory, ${cpu.toFixed(1)} ms of CPU`,
  );
}

async function execute(container: GuestContainer): Promise<void> {
  const started = performance.now();
  const process = await container.exec(defaultProcess({ args: ['ps', '-o', 'pid,comm'] }));
  story.agent(`exec "ps" in the container has pid ${process.pid}`, started);
  await Promise.all([tellLines(process.stdout, 'exec'), tellLines(process.stderr, 'exec')]);
  story.agent(`exec exited with code ${await process.exited}`);
}

async function talk(container: GuestContainer, init: GuestProcess): Promise<void> {
  const output = Promise.all([tellLines(init.stdout, 'stdout'), tellLines(init.stderr, 'stderr')]);
  await tellUse(container);
  await execute(container);
  story.host('writes "good morning" to stdin and half-closes it');
  init.stdin?.write('good morning\n');
  await init.closeStdin();
  await output;
  story.agent(`output drained, init exited with code ${await init.exited}`);
  const exit = await container.exited;
  story.agent(
    `notification: ${exit.type} of ${exit.containerId} (the host had not asked it to end)`,
  );
}

async function run(place: Workplace, interruption: Interruption): Promise<void> {
  await using host = new EmulatedHost(place.path);
  story.host(`listens on the emulated vsock hybrid:${place.path}`);
  const accepted = GuestClient.accept(host);
  accepted.catch(() => {});
  const started = performance.now();
  await using agent = new DemoAgent(place.path);
  story.host('starts bin/gcs');
  const orEnd = <T>(work: Promise<T>) => Promise.race([work, agent.ended, interruption.happened]);
  await using guest = await orEnd(accepted);
  story.agent('dialed the bridge, protocol v4 negotiated', started);

  const creating = performance.now();
  await using container = await orEnd(
    guest.createContainer({
      id: place.id,
      bundle: place.bundle,
      spec: defaultSpec({
        args: ['sh', '-c', SCRIPT],
        rootfs: place.rootfs,
        hostname: 'demo',
        resources: { memory: 64 * 1024 * 1024, pids: 32 },
      }),
    }),
  );
  story.agent(`container ${place.id} created with runc`, creating);
  const starting = performance.now();
  const init = await orEnd(container.start({ stdin: true }));
  story.agent(`init started, pid ${init.pid}, streams connected`, starting);
  await orEnd(talk(container, init));
  await orEnd(container.delete());
  story.host('deletes the container and ends the agent');
}

async function main(): Promise<number> {
  const interruption = new Interruption();
  const place = new Workplace();
  let code = 0;
  try {
    await run(place, interruption);
  } catch (error) {
    code = interruption.code ?? 1;
    story.failure(interruption.code ? 'interrupted, cleaning up' : String(error));
  } finally {
    place.remove();
  }
  const left = place.leftovers();
  if (left.length > 0) {
    story.failure(`left behind:\n  ${left.join('\n  ')}`);
    return code || 1;
  }
  story.host('nothing is left: no container, process, cgroup, socket or temporary file');
  return code;
}

console.log('A host runs a container through the guest agent, on an emulated vsock.\n');
process.exitCode = await main();
if (process.exitCode === 0) {
  console.log('\nNext: bin/gcsctl run --help, or npm test. README.md tells the rest.');
}
