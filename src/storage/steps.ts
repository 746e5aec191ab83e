import { AgentError } from '../errors.ts';
import { faultPoint } from '../os/fault-point.ts';

/**
 * One step of an Add. It is done as a whole or, when `run` throws, not at all; `undo` takes back
 * what `run` did and is called at most once successfully.
 */
export interface Step {
  /** What it does, for errors and tests: "mount the overlay". */
  readonly name: string;
  /** What it opens only for the steps after it goes into `scope`. */
  run(scope: DisposableStack): Promise<void> | void;
  undo?(): Promise<void> | void;
  /**
   * What undo() goes by, as JSON: asked for right before `run`, and again when it is done. For an
   * agent that takes the place of this one.
   */
  memory?(): object;
  /** Gives such a memory to a step that did not run here. Not `done`: it was cut off, whether it had an effect or not. */
  recall?(memory: unknown, done: boolean): void;
}

/** Where the steps of one Add stand, for an agent that takes the place of this one. */
export interface StepMemories {
  /** Steps that are done. */
  readonly done: number;
  /** Of those and, last, of the one that has begun. */
  readonly memories: readonly (object | null)[];
}

export interface ApplyOptions {
  /** Called when a step is done; what it throws is a failure of that step's successor. */
  afterStep?: (name: string) => void;
  /** Called before each step and after the last; what it throws is as if the step had failed. */
  remember?: (memories: StepMemories) => void;
  /** Takes over what could not be undone after a failure. */
  onLeft: (left: Applied) => void;
}

/** What the steps of one Add have done and a Remove has to take back. */
export class Applied {
  readonly #done: Step[];
  #touched = false;

  constructor(done: readonly Step[]) {
    this.#done = [...done];
  }

  /** True from the first undo that succeeded on: it is no longer what it was. */
  get touched(): boolean {
    return this.#touched;
  }

  /** Names of the steps that are still to be undone, the next one first. */
  get left(): string[] {
    return this.#done.map(({ name }) => name).reverse();
  }

  /** Undoes the steps, last first. A failure stops it; called again it goes on where it stopped. */
  async undo(): Promise<void> {
    for (let step = this.#done.at(-1); step !== undefined; step = this.#done.at(-1)) {
      await step.undo?.();
      faultPoint(`undone: ${step.name}`);
      this.#done.pop();
      this.#touched = true;
    }
  }
}

/** What an agent before this one has done, and perhaps begun, of these steps. */
export function recallSteps(steps: readonly Step[], { done, memories }: StepMemories): Applied {
  const begun = steps.slice(0, memories.length);
  for (const [index, step] of begun.entries()) step.recall?.(memories[index], index < done);
  return new Applied(begun);
}

/** Everything or nothing. After a failure of both a step and an undo, `onLeft` gets what is left. */
export async function applySteps(steps: readonly Step[], options: ApplyOptions): Promise<Applied> {
  const done: Step[] = [];
  const remember = (begun: readonly Step[]): void => {
    const memories = begun.map((step) => step.memory?.() ?? null);
    options.remember?.({ done: done.length, memories });
  };
  try {
    using scope = new DisposableStack();
    for (const step of steps) {
      remember(steps.slice(0, done.length + 1));
      await step.run(scope);
      done.push(step);
      options.afterStep?.(step.name);
    }
    remember(done);
    return new Applied(done);
  } catch (error) {
    const applied = new Applied(done);
    try {
      await applied.undo();
    } catch (undoError) {
      options.onLeft(applied);
      throw bothFailed(error, undoError, applied.left);
    }
    throw error;
  }
}

function bothFailed(error: unknown, undoError: unknown, left: readonly string[]): AgentError {
  const first = AgentError.from(error);
  const second = AgentError.from(undoError);
  return new AgentError(
    first.code,
    `${first.message}; and this could not be undone: ${left.join(', ')}: ${second.message}`,
    { cause: new AggregateError([error, undoError]) },
  );
}
