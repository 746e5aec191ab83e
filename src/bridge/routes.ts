import { runWithoutLogFields } from '../log/context.ts';
import type { ContainerExit } from '../uvm/operations.ts';
import { catalogue } from './catalogue.ts';
import type { HandlerDependencies, Handlers } from './handlers/handler.ts';
import { createHandlers } from './handlers/index.ts';
import type { RequestName } from './message-types.ts';
import { notificationFrame } from './notification-frame.ts';
import type { NotificationQueue } from './notifications.ts';
import { type Routes, routeOf } from './route.ts';

export interface RoutesOptions extends HandlerDependencies {
  /** Takes the exits of the VM's containers from now on. */
  readonly notifications: NotificationQueue;
}

/** All messages of the catalogue, answered by a VM whose exits are told of. */
export function openRoutes(options: RoutesOptions): Routes {
  options.uvm.onContainerExit((exit) => tellOfExit(exit, options));
  const handlers = createHandlers(options);
  const names = Object.keys(catalogue) as RequestName[];
  return new Map(names.map((name) => [catalogue[name].type, routeTo(name, handlers)]));
}

function routeTo<N extends RequestName>(name: N, handlers: Handlers) {
  return routeOf(name, catalogue[name], handlers[name]);
}

/** Written in this very call: the model has seen to it that who waits was answered before, and may answer a delete right after. */
function tellOfExit(
  { containerId, type, memoryKills, told }: ContainerExit,
  { activityIds, notifications, log }: RoutesOptions,
): void {
  runWithoutLogFields(() => {
    const activityId = activityIds.of(containerId);
    const frame = notificationFrame(containerId, activityId, type, memoryKills);
    notifications.push(containerId, frame, told);
    const memory = memoryKills === undefined ? {} : { memoryKills };
    log.info('container ended', { containerId, type, ...memory });
  });
}
