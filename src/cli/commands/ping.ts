import { PROTOCOL_VERSION } from '../../bridge/message-types.ts';
import { defineCommand } from '../command.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { jsonOption, printJson, printTable } from '../output.ts';
import { openStanding } from '../session.ts';
import { noPositionals } from '../values.ts';

export const pingCommand = defineCommand({
  name: 'ping',
  aliases: ['negotiate'],
  summary: 'see whether an agent answers, and what it can do',
  usage: ['[OPTIONS]'],
  description: [
    'Negotiates with the agent and prints the protocol version, the guest’s capabilities and the time until it was negotiated, which includes the agent’s own wait before it dials again.',
  ],
  options: { ...hostOptions, json: jsonOption },
  examples: [['ping --timeout 2', 'wait two seconds at most']],
  async run(values, positionals, io) {
    noPositionals(positionals);
    const begin = performance.now();
    await using session = await openStanding(values, io);
    const milliseconds = Math.round((performance.now() - begin) * 10) / 10;
    const { capabilities } = session.guest;
    if (values.json) {
      printJson(io, { version: PROTOCOL_VERSION, milliseconds, capabilities });
      return EXIT_OK;
    }
    const flags = Object.entries(capabilities.GuestDefinedCapabilities)
      .filter(([, on]) => on)
      .map(([name]) => name);
    printTable(
      io,
      ['PROPERTY', 'VALUE'],
      [
        ['protocol', `version ${PROTOCOL_VERSION}`],
        ['guest', capabilities.RuntimeOsType],
        [
          'schemas',
          capabilities.SupportedSchemaVersions.map((v) => `${v.Major}.${v.Minor}`).join(', '),
        ],
        ['capabilities', flags.join(', ')],
        ['negotiated in', `${milliseconds} ms`],
      ],
    );
    return EXIT_OK;
  },
});
