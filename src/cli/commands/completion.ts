import { constants } from 'node:os';
import { defineCommand } from '../command.ts';
import { type Candidate, type Offer, offerFor } from '../completion.ts';
import { completionScripts, FILES } from '../completion-scripts.ts';
import { openDoor } from '../door/open.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { onlyPositional } from '../values.ts';

/** Seconds the shell is kept waiting for the ids of containers. */
const PATIENCE_S = 1;

export const completionCommand = defineCommand({
  name: 'completion',
  summary: 'print what teaches a shell to complete gcsctl’s words',
  usage: ['bash|zsh|fish'],
  description: [
    'The shell then offers commands, options, names of VMs and ids of containers. Load it in the shell’s own start file.',
  ],
  options: {},
  completes: 'nothing',
  examples: [
    ['completion bash > /etc/bash_completion.d/gcsctl', 'for all users'],
    ['completion zsh > ~/.zsh/completions/_gcsctl', 'for zsh, in a directory of $fpath'],
    ['completion fish | source', 'for this fish'],
  ],
  async run(_values, positionals, io) {
    const shell = onlyPositional(positionals, 'the shell (bash, zsh or fish)');
    if (shell !== 'bash' && shell !== 'zsh' && shell !== 'fish') {
      throw new UsageError(`bash, zsh and fish are known, not "${shell}"`);
    }
    io.stdout.write(completionScripts[shell]);
    return EXIT_OK;
  },
});

/** What the scripts ask: a line for each candidate. It never fails, for the shell has no use for that. */
export const completeCommand = defineCommand({
  name: '__complete',
  summary: 'candidates for the last of some words',
  usage: ['WORD…'],
  description: [],
  options: {},
  commandAt: 0,
  examples: [],
  async run(_values, words, io) {
    // Loaded here: the list holds this command, too.
    const { commands } = await import('../commands.ts');
    const offer = offerFor(commands, words);
    const typed = (words.at(-1) ?? '').slice(offer.before.length);
    if (offer.source === 'files') io.stdout.write(`${FILES}\n`);
    const found = offer.candidates.length > 0 ? offer.candidates : await looked(offer, io);
    for (const { word, meaning } of found) {
      if (word.startsWith(typed)) io.stdout.write(`${offer.before}${word}\t${meaning}\n`);
    }
    return EXIT_OK;
  },
});

async function looked({ source, address }: Offer, io: Io): Promise<Candidate[]> {
  switch (source) {
    case 'words':
    case 'files':
      return [];
    case 'signals':
      return Object.keys(constants.signals).map((name) => ({ word: name.slice(3), meaning: name }));
    case 'vms': {
      const { listVms, vmBase } = await import('../../vm/directory.ts');
      return listVms(vmBase(io.env)).flatMap((directory) => {
        const state = directory.running();
        return state === undefined ? [] : [{ word: state.name, meaning: `${state.memory} MiB` }];
      });
    }
    case 'containers':
      return await containers(address, io);
  }
}

async function containers(address: Offer['address'], io: Io): Promise<Candidate[]> {
  try {
    await using door = await openDoor({ ...address, timeout: PATIENCE_S }, io);
    const found = await door.client.call('container.list', {}, { signal: door.signal });
    return found.containers.map(({ id, status }) => ({ word: id, meaning: status }));
  } catch {
    return []; // Without an agent there is nothing to offer.
  }
}
