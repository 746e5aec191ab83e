import { AgentError } from '../../errors.ts';
import { Hresult, UnintelligibleError } from '../hresult.ts';
import {
  containerConstraints,
  ignoredSettings,
  type ResourceType,
  resourceTypes,
} from '../messages/settings.ts';
import { containerOf, type Handler, type HandlerDependencies, targetOf } from './handler.ts';
import { network } from './network-settings.ts';
import { type AnyResource, resource, unsupported } from './resource.ts';
import { storageResources } from './storage-settings.ts';

const constraints = resource({
  settings: containerConstraints,
  requests: 'any',
  ofContainers: true,
  apply: async ({ containerId, settings }, { uvm }) => {
    await uvm.updateResources(containerOf(containerId, 'update'), settings.Linux);
  },
});

/** Says that the memory of the VM has changed; how much it is, the agent sees itself. */
const podsLimit = resource({
  settings: ignoredSettings,
  requests: ['Update'],
  ofContainers: false,
  apply: async (_change, { uvm }) => await uvm.refreshPodsLimit(),
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
  ...storageResources,
  Network: network,
  SecurityPolicy: unserved,
  SecurityPolicyFragment: unserved,
  PodCgroupMemoryLimit: podsLimit,
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
