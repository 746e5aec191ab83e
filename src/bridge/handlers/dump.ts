import { cutText } from '../cut-text.ts';
import { bridgeLimits } from '../limits.ts';
import type { Handler, HandlerDependencies } from './handler.ts';

/** Room for `GuestStacks`: a reply less its header and what stands around the string. */
const roomBytes = bridgeLimits.replyBytes - 512;

/** "3 PipeWrap, 1 Timeout": what keeps the event loop alive. */
function activeResources(): string {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
}

function eventLoop(): string {
  const { idle, active, utilization } = performance.eventLoopUtilization();
  const { rss, heapUsed, external } = process.memoryUsage();
  return [
    'event loop',
    `  up ${process.uptime().toFixed(3)} s, active ${active.toFixed(0)} ms, idle ${idle.toFixed(0)} ms, utilization ${utilization.toFixed(4)}`,
    `  rss ${rss}, heap used ${heapUsed}, external ${external} bytes`,
    `  active: ${activeResources()}`,
  ].join('\n');
}

/** The state of the agent, most telling first; what does not fit a reply is cut at the end. */
export function dumpStacks({ uvm, describeBridge }: HandlerDependencies): Handler<'DumpStacks'> {
  return () => {
    const sections = [...describeBridge(), eventLoop(), ...uvm.describe()];
    return { GuestStacks: cutText(sections.join('\n\n'), roomBytes, 'start') };
  };
}
