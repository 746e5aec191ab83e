import { metricsToJson } from '../../cgroup/json.ts';
import { AgentError } from '../../errors.ts';
import { encodeJson } from '../../schema/json-text.ts';
import type { ReplyBody } from '../catalogue.ts';
import { encodedBytes } from '../cut-text.ts';
import { bridgeLimits } from '../limits.ts';
import { type Handler, type HandlerDependencies, targetOf } from './handler.ts';

type Properties = NonNullable<ReplyBody<'GetProperties'>['Properties']>;
type ProcessList = readonly { ProcessId: number }[];

/** Room for `Properties`: a reply less its header and what stands around the string. */
const roomBytes = bridgeLimits.replyBytes - 512;

/** JSON in a string is escaped a second time. */
function bytesOf(properties: Properties): number {
  return encodedBytes(encodeJson(properties));
}

/** As many processes, from the front, as fit beside the rest. */
function fittingProcesses(processes: ProcessList, others: Properties): ProcessList {
  if (bytesOf({ ...others, ProcessList: processes }) <= roomBytes) return processes;
  const room = roomBytes - bytesOf({ ...others, ProcessList: [{ ProcessId: 0 }] });
  let used = 0;
  const end = processes.findIndex((process) => {
    used += encodedBytes(encodeJson(process)) + 1;
    return used > room;
  });
  return processes.slice(0, end);
}

/**
 * The protocol cannot page a list. A list that is cut tells a host more than an error would (it
 * asks for pids to show them), so it is cut, and the log says so.
 */
export function getProperties({ uvm, log }: HandlerDependencies): Handler<'GetProperties'> {
  return async ({ ContainerId, Query }) => {
    const id = targetOf(ContainerId);
    if (id === null) {
      throw new AgentError('failed', 'getPropertiesV2 is not supported against the UVM', {
        operation: 'properties',
      });
    }
    const asked = new Set(Query.PropertyTypes);
    const [statistics, processes] = await Promise.all([
      asked.has('Statistics') ? uvm.statistics(id) : undefined,
      asked.has('ProcessList') ? uvm.processes(id) : [],
    ]);
    const metrics = statistics && { LCOWMetrics: metricsToJson(statistics) };
    const all = processes.map(({ pid }) => ({ ProcessId: pid }));
    const fitting = fittingProcesses(all, { ...metrics });
    if (fitting.length < all.length) {
      log.warning('process list cut to what a reply holds', {
        containerId: id,
        processes: all.length,
        sent: fitting.length,
      });
    }
    return { Properties: { ...metrics, ProcessList: fitting } };
  };
}
