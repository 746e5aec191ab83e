import { defineCommand } from '../command.ts';
import { interactiveOption, programExitCodes } from '../common-options.ts';
import { containerOptions } from '../container-options.ts';
import { planContainer } from '../container-plan.ts';
import { createKept, keptOptions, planKept } from '../door/make.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { jsonOption, printJson } from '../output.ts';

export const createCommand = defineCommand({
  name: 'create',
  summary: 'create a container; its command waits for "start"',
  usage: ['[OPTIONS] --rootfs DIR [--] COMMAND…', '[OPTIONS] --bundle DIR [[--] COMMAND…]'],
  description: [
    'Creates a container on a standing agent and prints its id. Nothing of it runs before "gcsctl start". What it writes is kept in a log for "gcsctl logs".',
  ],
  options: {
    ...containerOptions,
    interactive: { ...interactiveOption, help: 'keep stdin open for "start -i" and "attach"' },
    ...keptOptions,
    ...doorOptions,
    json: jsonOption,
  },
  commandAt: 0,
  examples: [
    ['create --name web --rootfs ./rootfs -- httpd -f', 'a container called web'],
    ['create --vm one -it --name sh --rootfs /rootfs -- sh', 'with a terminal, in a VM'],
  ],
  exitCodes: programExitCodes,
  async run(values, positionals, io) {
    const plan = planContainer(values, positionals, io);
    const kept = planKept(values, plan);
    await using door = await openDoor(values, io);
    await createKept(door, plan, kept, values.interactive);
    if (values.json) printJson(io, { id: plan.id, bundle: plan.bundle });
    else io.stdout.write(`${plan.id}\n`);
    return EXIT_OK;
  },
});
