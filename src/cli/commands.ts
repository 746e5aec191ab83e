import type { Command } from './command.ts';
import { agentCommand } from './commands/agent.ts';
import { attachCommand } from './commands/attach.ts';
import { completeCommand, completionCommand } from './commands/completion.ts';
import { cpCommand } from './commands/cp.ts';
import { createCommand } from './commands/create.ts';
import { eventsCommand } from './commands/events.ts';
import { execCommand } from './commands/exec.ts';
import { inspectCommand } from './commands/inspect.ts';
import { killCommand } from './commands/kill.ts';
import { logsCommand } from './commands/logs.ts';
import { pauseCommand, resumeCommand } from './commands/pause.ts';
import { pingCommand } from './commands/ping.ts';
import { psCommand } from './commands/ps.ts';
import { rmCommand } from './commands/rm.ts';
import { runCommand } from './commands/run.ts';
import { shutdownCommand } from './commands/shutdown.ts';
import { startCommand } from './commands/start.ts';
import { statsCommand } from './commands/stats.ts';
import { stopCommand } from './commands/stop.ts';
import {
  systemHealthCommand,
  systemInfoCommand,
  systemLogLevelCommand,
  systemMetricsCommand,
  systemProfileCommand,
  systemStacksCommand,
} from './commands/system.ts';
import { topCommand } from './commands/top.ts';
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
  createCommand,
  startCommand,
  execCommand,
  attachCommand,
  logsCommand,
  psCommand,
  topCommand,
  statsCommand,
  inspectCommand,
  eventsCommand,
  cpCommand,
  updateCommand,
  pauseCommand,
  resumeCommand,
  killCommand,
  stopCommand,
  waitCommand,
  rmCommand,
  systemInfoCommand,
  systemHealthCommand,
  systemMetricsCommand,
  systemStacksCommand,
  systemLogLevelCommand,
  systemProfileCommand,
  agentCommand,
  pingCommand,
  shutdownCommand,
  vmUpCommand,
  vmListCommand,
  vmExecCommand,
  vmConsoleCommand,
  vmLogsCommand,
  vmDownCommand,
  vsockDeviceCommand,
  completionCommand,
];

/** Run by other commands, not by people: in no list. */
export const internalCommands: readonly Command[] = [vmSuperviseCommand, completeCommand];
