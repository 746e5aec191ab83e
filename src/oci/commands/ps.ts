import { reachAgent } from '../agent.ts';
import { defineOciCommand, formatOption } from '../command.ts';
import { ContainerDirectory } from '../records.ts';

export const psCommand = defineOciCommand({
  name: 'ps',
  summary: 'list the processes of a container',
  usage: '[OPTIONS] ID',
  commandAt: 0,
  words: { min: 1, max: Number.POSITIVE_INFINITY },
  options: { format: { ...formatOption, help: `${formatOption.help}: the pids` } },
  async run({ format }, [id = ''], globals) {
    const record = new ContainerDirectory(globals.root, id).require();
    await using client = await reachAgent(record.agent);
    const { processes } = await client.call('container.processes', { id });
    if (format === 'json') {
      process.stdout.write(`${JSON.stringify(processes.map(({ pid }) => pid))}\n`);
      return 0;
    }
    process.stdout.write('PID     CMD\n');
    for (const { pid, commandLine, zombie } of processes) {
      const command = zombie ? '<defunct>' : commandLine.join(' ');
      process.stdout.write(`${String(pid).padEnd(7)} ${command}\n`);
    }
    return 0;
  },
});
