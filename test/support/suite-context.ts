/** What a vitest project may hand to its tests. */
declare module 'vitest' {
  interface ProvidedContext {
    /** Directory of the VM whose agent the tests use; undefined: each starts one of its own. */
    gcsVm?: string | undefined;
  }
}

export {};
