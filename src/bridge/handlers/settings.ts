import { Hresult, UnintelligibleError } from '../hresult.ts';
import {
  containerConstraints,
  ignoredSettings,
  type ResourceType,
  resourceTypes,
  securityPolicy,
  securityPolicyFragment,
} from '../messages/settings.ts';
import { containerOf, type Handler, type HandlerDependencies } from './handler.ts';
import { network } from './network-settings.ts';
import { type AnyResource, resource } from './resource.ts';
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

const policy = resource({
  settings: securityPolicy,
  requests: 'any',
  ofContainers: false,
  apply: async ({ settings }, { uvm }) => await uvm.securityPolicy.set(settings),
});

const policyFragment = resource({
  settings: securityPolicyFragment,
  requests: 'any',
  ofContainers: false,
  apply: async ({ settings }, { uvm }) => await uvm.securityPolicy.addFragment(settings.Fragment),
});

/** What serves each ResourceType; one that is missing does not compile. */
const resources: { readonly [R in ResourceType]: AnyResource } = {
  ContainerConstraints: constraints,
  ...storageResources,
  Network: network,
  SecurityPolicy: policy,
  SecurityPolicyFragment: policyFragment,
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
