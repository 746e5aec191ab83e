import type { DoorServices } from '../services.ts';
import { containerHandlers } from './containers.ts';
import { copyHandlers } from './copy.ts';
import { eventHandlers } from './events.ts';
import type { Handlers } from './handler.ts';
import { logHandlers } from './logs.ts';
import { processHandlers } from './processes.ts';
import { runtimeHandlers } from './runtimes.ts';
import { sessionHandlers } from './session.ts';
import { type DoorState, systemHandlers } from './system.ts';

export function makeHandlers(services: DoorServices, door: DoorState): Handlers {
  const { operations } = services;
  return {
    ...sessionHandlers(services),
    ...containerHandlers(operations),
    ...copyHandlers(operations),
    ...processHandlers(operations),
    ...logHandlers(operations),
    ...runtimeHandlers(operations),
    ...eventHandlers(),
    ...systemHandlers(services, door),
  };
}
