/** The agent that commands of gcsctl reach: one of the test's own, or that of the VM. */
import { execFileSync } from 'node:child_process';
import { basename, dirname } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { AgentProcess } from './agent-process.ts';
import { assertNothingLeft, type Census, type Counts, takeCensus } from './census.ts';
import { gcsctl } from './gcsctl.ts';
import { assertNothingLeftInGuest, takeGuestCensus } from './guest-census.ts';
import { testVm } from './suite.ts';
import { inGuest, sweepGuest } from './vm-agent.ts';

export interface StandingAgent extends AsyncDisposable {
  /** Options by which a command finds it. */
  readonly address: readonly string[];
  /** Runs a shell script where the agent runs. */
  sh(script: string): Promise<string>;
  /** Throws when the agent holds more than when it was opened. */
  assertNothingLeft(): Promise<void>;
}

/** Resolves when it has answered. */
function openStandingAgent(): Promise<StandingAgent> {
  return testVm === undefined ? Standing.start() : StandingInVm.open(testVm);
}

/** A fresh one for each test from here on, which may leave nothing behind in it. */
export function useStandingAgent(): () => StandingAgent {
  let agent: StandingAgent | undefined;
  beforeEach(async () => {
    agent = await openStandingAgent();
  });
  const current = (): StandingAgent => agent ?? expect.unreachable('no agent outside of tests');
  afterEach(async () => {
    try {
      // A host is told of the ends of containers first, and until then the agent keeps them.
      await gcsctl(['ping', ...current().address]);
      await current().assertNothingLeft();
    } finally {
      await agent?.[Symbol.asyncDispose]();
    }
  });
  return current;
}

class Standing implements StandingAgent {
  readonly #agent = new AgentProcess();
  #before: Census | undefined;

  static async start(): Promise<Standing> {
    const standing = new Standing();
    const ping = await gcsctl(['ping', ...standing.address]);
    if (ping.code !== 0) throw new Error(ping.err);
    const agent = standing.#agent;
    standing.#before = takeCensus({ agent, directories: [agent.directory] });
    return standing;
  }

  get address(): readonly string[] {
    return ['--host', this.#agent.path];
  }

  async sh(script: string): Promise<string> {
    return execFileSync('sh', ['-c', script], { encoding: 'utf8' });
  }

  async assertNothingLeft(): Promise<void> {
    if (this.#before !== undefined) await assertNothingLeft(this.#before);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#agent[Symbol.asyncDispose]();
  }
}

class StandingInVm implements StandingAgent {
  readonly address: readonly string[];
  readonly #vm: string;
  readonly #before: Counts;

  private constructor(vm: string, before: Counts) {
    this.#vm = vm;
    this.#before = before;
    this.address = ['--vm', basename(vm)];
  }

  static async open(vm: string): Promise<StandingInVm> {
    // Where gcsctl, which inherits it, looks for VMs.
    process.env.GCSCTL_VM_DIR = dirname(vm);
    return new StandingInVm(vm, await takeGuestCensus((script) => inGuest(vm, script)));
  }

  sh(script: string): Promise<string> {
    return inGuest(this.#vm, script);
  }

  async assertNothingLeft(): Promise<void> {
    try {
      await assertNothingLeftInGuest(this.#before, (script) => inGuest(this.#vm, script));
    } catch (error) {
      await sweepGuest(this.#vm);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
