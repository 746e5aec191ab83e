/**
 * The soft limit of open files (getrlimit(2), RLIMIT_NOFILE) that this process was started with.
 * Node raises its own to the hard limit, and what we start would inherit that: a runtime passes it
 * on to containers, and programs that walk over all possible descriptors take ages. The launcher
 * says in GCS_NOFILE what it was, as nobody can tell once Node runs.
 */
let inherited: number | undefined;

/** To be called once, before anything is started: the variable is removed. */
export function takeFileLimit(env: NodeJS.ProcessEnv = process.env): void {
  const text = env.GCS_NOFILE;
  delete env.GCS_NOFILE;
  // "unlimited" and what is no number leave things as they are.
  inherited = text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
}

/** For the processes we start; undefined: whatever is in force. */
export function inheritedFileLimit(): number | undefined {
  return inherited;
}
