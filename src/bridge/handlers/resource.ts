import { AgentError } from '../../errors.ts';
import { type Schema, SchemaError } from '../../schema/schema.ts';
import { type HandlerDependencies, targetOf } from './handler.ts';

/** One resource that ModifySettings changes. */
export interface Resource<Settings> {
  readonly settings: Schema<Settings, never>;
  /** RequestTypes it takes; 'any' does not look. */
  readonly requests: readonly string[] | 'any';
  /** True when a container may be named in ContainerId. */
  readonly ofContainers: boolean;
  readonly apply: (change: Change<Settings>, dependencies: HandlerDependencies) => Promise<void>;
}

export interface Change<Settings> {
  /** ContainerId as it came. */
  readonly containerId: string;
  readonly requestType: string;
  readonly settings: Settings;
}

/** A resource whose Settings type is known only to itself. */
export type AnyResource = (
  change: Change<unknown>,
  dependencies: HandlerDependencies,
  resourceType: string,
) => Promise<void>;

export function resource<Settings>(definition: Resource<Settings>): AnyResource {
  // Not async: what is wrong with the message is thrown before the promise.
  return (change, dependencies, resourceType) => {
    if (!definition.ofContainers && targetOf(change.containerId) !== null) {
      throw unsupported(`the ResourceType "${resourceType}" is not supported for containers`);
    }
    const { requests } = definition;
    if (requests !== 'any' && !requests.includes(change.requestType)) {
      throw unsupported(`the RequestType "${change.requestType}" is not supported`);
    }
    const settings = decodeSettings(definition.settings, change.settings);
    return definition.apply({ ...change, settings }, dependencies);
  };
}

/** The protocol has no number of its own for these. */
export function unsupported(message: string): AgentError {
  return new AgentError('failed', message, { operation: 'modify' });
}

function decodeSettings<Settings>(schema: Schema<Settings, never>, value: unknown): Settings {
  try {
    return value === undefined || value === null ? schema.zero() : schema.decode(value);
  } catch (error) {
    throw error instanceof SchemaError ? error.under('Settings').under('Request') : error;
  }
}
