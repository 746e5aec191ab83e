import { defineCommand } from '../command.ts';
import { containerOptions } from '../container-options.ts';
import { planContainer } from '../container-plan.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { HostState } from '../host-state.ts';
import { jsonOption, printJson } from '../output.ts';
import { openStanding } from '../session.ts';

export const createCommand = defineCommand({
  name: 'create',
  summary: 'create a container; its command waits for "start"',
  usage: ['[OPTIONS] --rootfs DIR [--] COMMAND…', '[OPTIONS] --bundle DIR [[--] COMMAND…]'],
  description: [
    'Creates a container on a standing agent and prints its id. Nothing of it runs and it has no streams before "gcsctl start".',
  ],
  options: { ...containerOptions, ...hostOptions, json: jsonOption },
  commandAt: 0,
  examples: [['create --name web --rootfs ./rootfs -- httpd -f', 'a container called web']],
  exitCodes: [
    ['126', 'the command cannot be executed'],
    ['127', 'the command was not found'],
  ],
  async run(values, positionals, io) {
    const plan = planContainer(values, positionals, io);
    await using session = await openStanding(values, io);
    await session.guest.createContainer(plan);
    new HostState(session.path).save(plan.id, { terminal: plan.terminal });
    if (values.json) printJson(io, { id: plan.id, bundle: plan.bundle });
    else io.stdout.write(`${plan.id}\n`);
    return EXIT_OK;
  },
});
