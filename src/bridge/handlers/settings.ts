import { AgentError } from '../../errors.ts';
import { Hresult, UnintelligibleError } from '../hresult.ts';
import { containerConstraints, type ResourceType, resourceTypes } from '../messages/settings.ts';
import { type Schema, SchemaError } from '../schema.ts';
import { containerOf, type Handler, type HandlerDependencies, targetOf } from './handler.ts';

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
type AnyResource = (
  change: Change<unknown>,
  dependencies: HandlerDependencies,
  resourceType: string,
) => Promise<void>;

function resource<Settings>(definition: Resource<Settings>): AnyResource {
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
function unsupported(message: string): AgentError {
  return new AgentError('failed', message, { operation: 'modify' });
}

function decodeSettings<Settings>(schema: Schema<Settings, never>, value: unknown): Settings {
  try {
    return value === undefined || value === null ? schema.zero() : schema.decode(value);
  } catch (error) {
    throw error instanceof SchemaError ? error.under('Settings').under('Request') : error;
  }
}

const constraints = resource({
  settings: containerConstraints,
  requests: 'any',
  ofContainers: true,
  apply: async ({ containerId, settings }, { uvm }) => {
    await uvm.updateResources(containerOf(containerId, 'update'), settings.Linux);
  },
});

/** A ResourceType of the protocol that this agent does not serve. */
const unserved: AnyResource = ({ containerId }, _dependencies, resourceType) => {
  if (targetOf(containerId) !== null) {
    throw unsupported(`the ResourceType "${resourceType}" is not supported for containers`);
  }
  throw new AgentError('not-supported', `the ResourceType "${resourceType}" is not supported`, {
    operation: 'modify',
    field: 'Request.ResourceType',
  });
};

/** What serves each ResourceType; one that is missing does not compile. */
const resources: { readonly [R in ResourceType]: AnyResource } = {
  ContainerConstraints: constraints,
  MappedVirtualDisk: unserved,
  SCSIDevice: unserved,
  VPMemDevice: unserved,
  CombinedLayers: unserved,
  MappedDirectory: unserved,
  Network: unserved,
  VPCIDevice: unserved,
  SecurityPolicy: unserved,
  SecurityPolicyFragment: unserved,
  PodCgroupMemoryLimit: unserved,
};

function isResourceType(name: string): name is ResourceType {
  return (resourceTypes as readonly string[]).includes(name);
}

export function modifySettings(dependencies: HandlerDependencies): Handler<'ModifySettings'> {
  return ({ ContainerId, Request }) => {
    const { ResourceType, RequestType, Settings } = Request;
    if (!isResourceType(ResourceType)) {
      throw new UnintelligibleError(Hresult.Fail, `invalid ResourceType '${ResourceType}'`);
    }
    const change = {
      containerId: ContainerId,
      requestType: RequestType === '' ? 'Add' : RequestType,
      settings: Settings,
    };
    return resources[ResourceType](change, dependencies, ResourceType).then(() => ({}));
  };
}
