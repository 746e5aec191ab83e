import { dumpStacks } from './dump.ts';
import type { HandlerDependencies, Handlers } from './handler.ts';
import { lifecycleHandlers } from './lifecycle.ts';
import { processHandlers } from './process.ts';
import { getProperties } from './properties.ts';
import { modifySettings } from './settings.ts';

export function createHandlers(dependencies: HandlerDependencies): Handlers {
  return {
    ...lifecycleHandlers(dependencies),
    ...processHandlers(dependencies),
    GetProperties: getProperties(dependencies),
    ModifySettings: modifySettings(dependencies),
    DumpStacks: dumpStacks(dependencies),
  };
}
