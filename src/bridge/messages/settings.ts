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

export const securityPolicy = object({
  EnforcerType: omitZero(doc('Ignored: nothing is enforced', string)),
  EncodedSecurityPolicy: omitZero(
    doc('Base64; empty, or `{"allow_all":true}`: no other is taken, and that once', string),
  ),
  EncodedUVMReference: omitZero(doc('Base64; a file for containers', string)),
  EncodedUVMHashEnvelopeReference: omitZero(doc('Base64; a file for containers', string)),
});

export const securityPolicyFragment = object({
  Fragment: omitZero(doc('Base64; adds to what is allowed, which is all', string)),
  MediaType: omitZero(doc('Ignored', string)),
});

/** Of a ResourceType that has none. */
export const ignoredSettings = object({});
