import { SchemaError } from '../../schema/schema.ts';
import type { Handlers } from './handler.ts';

export function eventHandlers(): Pick<Handlers, 'events.subscribe' | 'events.unsubscribe'> {
  return {
    'events.subscribe': ({ from, epoch }, { client }) => {
      if (typeof from === 'bigint') throw new SchemaError('from', `${from} was never reached`);
      return client.subscribe(from, epoch);
    },
    'events.unsubscribe': (_params, { client }) => {
      client.unsubscribe();
      return {};
    },
  };
}
