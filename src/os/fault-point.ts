/**
 * A place where the agent may be killed between two steps. Does nothing: the tests that kill it at
 * each of these build a bundle in which this module is another one, so that the agent itself has no
 * switch that ends it.
 */
export function faultPoint(_name: string): void {}
