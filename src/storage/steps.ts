import { AgentError } from '../errors.ts';

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
}

export interface ApplyOptions {
  /** Called when a step is done; what it throws is a failure of that step's successor. */
  afterStep?: (name: string) => void;
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
      this.#done.pop();
      this.#touched = true;
    }
  }
}

/** Everything or nothing. After a failure of both a step and an undo, `onLeft` gets what is left. */
export async function applySteps(steps: readonly Step[], options: ApplyOptions): Promise<Applied> {
  const done: Step[] = [];
  try {
    using scope = new DisposableStack();
    for (const step of steps) {
      await step.run(scope);
      done.push(step);
      options.afterStep?.(step.name);
    }
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
