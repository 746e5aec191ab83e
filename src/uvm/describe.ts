import type { ExitStatus } from '../os/process.ts';
import type { StdioReport } from '../stdio/stdio.ts';
import type { Container } from './container.ts';
import type { GuestProcess } from './guest-process.ts';
import type { ProcessTable } from './process-table.ts';

function statusText(status: ExitStatus | undefined): string {
  if (status === undefined) return 'running';
  return status.kind === 'exited' ? `exited ${status.code}` : `killed by signal ${status.signal}`;
}

function streamText(report: StdioReport): string {
  return Object.entries(report)
    .map(([name, stream]) => `${name}=${stream.bytes}B/${stream.outcome}`)
    .join(' ');
}

function processLine(process: GuestProcess): string {
  const fields = [
    `pid ${process.pid}`,
    statusText(process.status),
    `waiters=${process.waiters}`,
    streamText(process.streams),
  ];
  return `  ${fields.filter((field) => field !== '').join(' ')}`;
}

function memoryText({ memory }: Container): string {
  return memory === undefined ? '' : ` out of memory=${memory.events} killed=${memory.kills}`;
}

/** One section of text for every container, then the VM's own processes. */
export function describeUvm(
  containers: Iterable<Container>,
  creating: Iterable<string>,
  vmProcesses: ProcessTable,
): string[] {
  const sections = [...containers].map((container) =>
    [
      `container ${container.id} ${container.status}${memoryText(container)}`,
      ...[container.init, ...container.processes].map(processLine),
    ].join('\n'),
  );
  for (const id of creating) sections.push(`container ${id} is being created`);
  if (vmProcesses.size > 0) {
    sections.push(['processes of the VM', ...[...vmProcesses].map(processLine)].join('\n'));
  }
  return sections;
}
