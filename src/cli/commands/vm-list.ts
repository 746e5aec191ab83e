import { listVms, vmBase } from '../../vm/directory.ts';
import { defineCommand } from '../command.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { jsonOption, printJson, printTable } from '../output.ts';
import { noPositionals } from '../values.ts';

export const vmListCommand = defineCommand({
  name: 'vm list',
  aliases: ['vm ls'],
  summary: 'list virtual machines, also ended ones that left their logs',
  usage: ['[OPTIONS]'],
  description: ['VMs of this user’s $GCSCTL_VM_DIR (default /run/gcsctl/vm).'],
  options: { json: jsonOption },
  examples: [['vm list --json', 'for scripts']],
  async run(values, positionals, io) {
    noPositionals(positionals);
    const found = listVms(vmBase(io.env)).map((directory) => {
      const running = directory.running();
      const state = running ?? directory.state();
      // One whose supervisor was killed left its sockets.
      if (running === undefined) directory.removeSockets();
      const status = running ? 'running' : `ended: ${state?.ended ?? 'its supervisor was killed'}`;
      return { ...state, status, host: directory.vsock };
    });
    if (values.json) {
      printJson(io, found);
      return EXIT_OK;
    }
    printTable(
      io,
      ['NAME', 'CID', 'TRANSPORT', 'ACCELERATION', 'MEMORY', 'CPUS', 'PID', 'STATUS'],
      found.map((vm) => [
        vm.name ?? '',
        String(vm.cid),
        vm.transport ?? '',
        vm.acceleration ?? '',
        `${vm.memory} MiB`,
        String(vm.cpus),
        String(vm.supervisor?.pid ?? '-'),
        vm.status,
      ]),
    );
    return EXIT_OK;
  },
});
