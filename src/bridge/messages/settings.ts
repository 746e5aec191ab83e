import { doc, object, omitZero, optional, raw, required, string } from '../../schema/schema.ts';
import { ociLinuxResources } from '../../spec/oci-schema.ts';
import { requestBase } from './common.ts';

/** Every ResourceType a Linux guest knows; one that is not here is invalid. */
export const resourceTypes = [
  'MappedVirtualDisk',
  'SCSIDevice',
  'VPMemDevice',
  'CombinedLayers',
  'MappedDirectory',
  'Network',
  'VPCIDevice',
  'ContainerConstraints',
  'SecurityPolicy',
  'SecurityPolicyFragment',
  'PodCgroupMemoryLimit',
] as const;
export type ResourceType = (typeof resourceTypes)[number];

export const modifySettingsRequest = object({
  ...requestBase,
  Request: required(
    object({
      RequestType: omitZero(doc('`Add` (also when missing), `Remove`, `Update`, `PreAdd`', string)),
      ResourceType: string,
      Settings: optional(doc('Depends on the ResourceType', raw)),
    }),
  ),
});

export const containerConstraints = object({
  Windows: optional(doc('Ignored', raw)),
  Linux: required(ociLinuxResources),
});

/** Of a ResourceType that has none. */
export const ignoredSettings = object({});
