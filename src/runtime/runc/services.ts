import type { Logger } from '../../log/logger.ts';
import type { Reaper } from '../../os/reaper.ts';
import type { Bookkeeping } from './bookkeeping.ts';
import type { RuntimeCommands } from './commands.ts';

/** What all containers of one runtime share. */
export interface RuncServices {
  readonly reaper: Reaper;
  readonly commands: RuntimeCommands;
  readonly bookkeeping: Bookkeeping;
  readonly logger: Logger;
}
