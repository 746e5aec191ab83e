import { pipeline } from 'node:stream/promises';
import { ManagementRequestError } from '../../client/management/errors.ts';
import { defineCommand } from '../command.ts';
import { quietly } from '../door/follow.ts';
import { findContainer } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { CliError, EXIT_OK } from '../exit-codes.ts';
import { LogSplitter } from '../log-splitter.ts';
import { parseTime } from '../times.ts';
import { onlyPositional } from '../values.ts';

export const logsCommand = defineCommand({
  name: 'logs',
  summary: 'show what a container has written',
  usage: ['[OPTIONS] ID'],
  description: [
    'Prints the log of a container’s init: its stdout on stdout, its stderr on stderr. A container has one when it was made by "create" or "run --detach", or by another client that asked for it.',
    'A time is a date (2026-01-31, 2026-01-31T12:00:00Z), seconds since 1970 or, backwards from now, 10s, 5m, 2h30m, 3d.',
  ],
  options: {
    ...doorOptions,
    follow: {
      kind: 'flag',
      short: 'f',
      help: 'go on with what is written, until the container ends',
    },
    tail: {
      kind: 'number',
      short: 'n',
      value: 'N',
      min: 0,
      max: 4_294_967_295,
      help: 'only the last N lines',
    },
    since: { kind: 'text', value: 'TIME', help: 'only lines of this time and later' },
    until: { kind: 'text', value: 'TIME', help: 'only lines before this time' },
    timestamps: { kind: 'flag', short: 't', help: 'the time of each line before it' },
  },
  completes: 'container',
  examples: [
    ['logs -f --tail 10 web', 'the last ten lines, and what comes'],
    ['logs --since 5m --timestamps web', 'the last five minutes, with times'],
  ],
  async run(values, positionals, io) {
    const word = onlyPositional(positionals, 'the ID of the container');
    const now = Date.now();
    const { tail, follow, timestamps } = values;
    const since = values.since === undefined ? undefined : parseTime('--since', values.since, now);
    const until = values.until === undefined ? undefined : parseTime('--until', values.until, now);
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    const containerId = await findContainer(door, word);
    return await quietly(async () => {
      const { stream, done } = await client.stream(
        'logs.read',
        {
          containerId,
          follow,
          ...(tail === undefined ? {} : { tail }),
          ...(since === undefined ? {} : { since }),
        },
        { signal },
      );
      const splitter = new LogSplitter(io, { timestamps, until });
      const [copied, answered] = await Promise.allSettled([
        pipeline(stream, splitter, { signal }),
        done,
      ]);
      signal.throwIfAborted();
      if (answered.status === 'rejected') throw explained(answered.reason, containerId);
      if (copied.status === 'rejected') throw copied.reason;
      return EXIT_OK;
    });
  },
});

function explained(error: unknown, id: string): unknown {
  if (!(error instanceof ManagementRequestError && error.code === 'not-supported')) return error;
  return new CliError(
    `${id} has no log: it was made without one. "gcsctl create" and "gcsctl run -d" make it with one.`,
    { cause: error },
  );
}
