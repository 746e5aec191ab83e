import type { Command } from './command.ts';
import { agentCommand } from './commands/agent.ts';
import { createCommand } from './commands/create.ts';
import { deleteCommand } from './commands/delete.ts';
import { dumpStacksCommand } from './commands/dump-stacks.ts';
import { execCommand } from './commands/exec.ts';
import { killCommand } from './commands/kill.ts';
import { pingCommand } from './commands/ping.ts';
import { psCommand } from './commands/ps.ts';
import { runCommand } from './commands/run.ts';
import { shutdownCommand } from './commands/shutdown.ts';
import { startCommand } from './commands/start.ts';
import { statsCommand } from './commands/stats.ts';
import { updateCommand } from './commands/update.ts';
import { vmConsoleCommand } from './commands/vm-console.ts';
import { vmDownCommand } from './commands/vm-down.ts';
import { vmExecCommand } from './commands/vm-exec.ts';
import { vmListCommand } from './commands/vm-list.ts';
import { vmLogsCommand } from './commands/vm-logs.ts';
import { vmSuperviseCommand, vmUpCommand } from './commands/vm-up.ts';
import { vsockDeviceCommand } from './commands/vsock-device.ts';
import { waitCommand } from './commands/wait.ts';

/** Every command, in the order of the help. */
export const commands: readonly Command[] = [
  runCommand,
  agentCommand,
  pingCommand,
  createCommand,
  startCommand,
  execCommand,
  psCommand,
  statsCommand,
  updateCommand,
  killCommand,
  waitCommand,
  deleteCommand,
  vmExecCommand,
  vmUpCommand,
  vmListCommand,
  vmConsoleCommand,
  vmLogsCommand,
  vmDownCommand,
  vsockDeviceCommand,
  dumpStacksCommand,
  shutdownCommand,
];

/** Run by other commands, not by people: in no list. */
export const internalCommands: readonly Command[] = [vmSuperviseCommand];
