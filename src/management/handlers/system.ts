import { availableParallelism, freemem, hostname, release, totalmem, uptime } from 'node:os';
import type { ResultInput } from '../contract.ts';
import type { OwnMetrics } from '../own-metrics.ts';
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from '../prometheus.ts';
import type { DoorServices } from '../services.ts';
import type { Handlers } from './handler.ts';
import { profileHandlers } from './profiles.ts';

type SystemMethods = Extract<keyof Handlers, `system.${string}`>;

/** The door itself, as its own figures are told. */
export interface DoorState {
  readonly clients: number;
  readonly metrics: OwnMetrics;
  /** A line for every request that is under way. */
  requestsUnderWay(): string[];
}

export function systemHandlers(
  services: DoorServices,
  door: DoorState,
): Pick<Handlers, SystemMethods> {
  const { operations, logLevel, log } = services;
  return {
    'system.info': () => info(services, door),
    'system.health': () => health(services, door),
    'system.metrics': async () => {
      const families = [...(await operations.metrics()), ...door.metrics.families(door.clients)];
      return { contentType: PROMETHEUS_CONTENT_TYPE, text: prometheusText(families) };
    },
    'system.logLevel': ({ level }) => {
      if (level !== undefined && level !== logLevel.get()) {
        log.info('log level changes', { from: logLevel.get(), to: level });
        logLevel.set(level);
      }
      return { level: logLevel.get() };
    },
    'system.stacks': () => ({ text: stacks(services, door) }),
    ...profileHandlers(),
  };
}

async function info(
  { operations, facts }: DoorServices,
  door: DoorState,
): Promise<ResultInput<'system.info'>> {
  const containers = await operations.list();
  const count = (status: string): number => containers.filter((c) => c.status === status).length;
  return {
    agent: {
      version: facts.version,
      pid: process.pid,
      startedAt: performance.timeOrigin,
      transport: facts.transport,
      node: process.version,
      residentBytes: process.memoryUsage.rss(),
    },
    machine: {
      hostname: hostname(),
      kernel: release(),
      architecture: process.arch,
      cpus: availableParallelism(),
      memoryBytes: totalmem(),
      memoryAvailableBytes: freemem(),
      uptimeSeconds: uptime(),
      ownMachine: facts.ownMachine,
    },
    containers: {
      total: containers.length,
      running: count('running'),
      paused: count('paused'),
      stopped: count('stopped'),
    },
    clients: door.clients,
  };
}

async function health(
  { operations }: DoorServices,
  door: DoorState,
): Promise<ResultInput<'system.health'>> {
  const conditions = await operations.conditions();
  const checks = conditions.map(({ type, status, reason, message }) => ({
    name: type,
    healthy: status,
    message: status ? undefined : [reason, message].filter((text) => text).join(': '),
  }));
  return {
    healthy: checks.every((check) => check.healthy),
    checks,
    eventLoopUtilization: door.metrics.utilization(),
  };
}

function stacks({ describe }: DoorServices, door: DoorState): string {
  const resources = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    resources.set(name, (resources.get(name) ?? 0) + 1);
  }
  const active = [...resources].map(([name, count]) => `  ${name} ${count}`);
  const requests = door.requestsUnderWay().map((line) => `  ${line}`);
  return [
    ...describe(),
    ['requests of the management door', ...requests].join('\n'),
    ['what the event loop waits for', ...active].join('\n'),
  ].join('\n\n');
}
