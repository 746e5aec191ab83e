import { describe, expect, test } from 'vitest';
import { NULL_CONTAINER, RAW } from '../../../test/support/raw-client.ts';
import { ask, textOf } from '../testing/ask.ts';
import { body, hresult } from '../testing/session.ts';

describe('ModifySettings', () => {
  const modify = (id: string, Request: unknown): object => body(id, { Request });

  test.each([
    'Add',
    'Update',
    'Whatever',
    undefined,
  ])('ContainerConstraints updates the container, RequestType %j is not looked at', async (RequestType) => {
    const Linux = { memory: { limit: 4096 }, unknown: 1 };
    const { reply, calls } = await ask(
      RAW.modifySettings,
      modify('c', { RequestType, ResourceType: 'ContainerConstraints', Settings: { Linux } }),
    );
    expect(reply.body.Result).toBe(0);
    expect(calls).toEqual([['updateResources', 'c', Linux]]);
  });

  test.each([
    [undefined, 'Request.Settings.Linux: missing'],
    [{}, 'Request.Settings.Linux: missing'],
    [{ Linux: [] }, 'Request.Settings.Linux: expected object, found array'],
    ['x', 'Request.Settings: expected object, found string'],
  ])('ContainerConstraints with %j is refused', async (Settings, text) => {
    const { reply, calls } = await ask(
      RAW.modifySettings,
      modify('c', { ResourceType: 'ContainerConstraints', Settings }),
    );
    expect(hresult(reply)).toBe('0xc037010d');
    expect(textOf(reply)).toContain(text);
    expect(calls).toEqual([]);
  });

  test('ContainerConstraints of the VM: there is no such container', async () => {
    const { reply } = await ask(
      RAW.modifySettings,
      modify(NULL_CONTAINER, { ResourceType: 'ContainerConstraints', Settings: { Linux: {} } }),
    );
    expect(hresult(reply)).toBe('0xc037010e');
  });

  test.each([
    ['Add', 'network.add'],
    [undefined, 'network.add'],
    ['Remove', 'network.remove'],
  ])('Network, RequestType %j', async (RequestType, operation) => {
    const Settings = {
      namespaceid: 'ns',
      ID: 'a',
      IPConfigs: [{ IPAddress: '10.0.0.2' }],
      other: 1,
    };
    const { reply, calls } = await ask(
      RAW.modifySettings,
      modify(NULL_CONTAINER, { RequestType, ResourceType: 'Network', Settings }),
    );
    expect(reply.body.Result).toBe(0);
    expect(calls).toEqual([
      [
        operation,
        expect.objectContaining({
          NamespaceID: 'ns',
          ID: 'a',
          IPConfigs: [{ IPAddress: '10.0.0.2', PrefixLength: 0 }],
          Routes: [],
          GatewayAddress: '',
          EnableLowMetric: false,
        }),
      ],
    ]);
  });

  test.each([
    ['c', 'Add', 'the ResourceType "Network" is not supported for containers'],
    [NULL_CONTAINER, 'Update', 'the RequestType "Update" is not supported'],
  ])('Network of %s, %s: refused', async (id, RequestType, text) => {
    const request = modify(id, { RequestType, ResourceType: 'Network', Settings: {} });
    const { reply, calls } = await ask(RAW.modifySettings, request);
    expect(hresult(reply)).toBe('0x80004005');
    expect(textOf(reply)).toContain(text);
    expect(calls).toEqual([]);
  });

  test('a ResourceType nobody knows: the message is quoted', async () => {
    const { reply } = await ask(
      RAW.modifySettings,
      `{"ContainerId":"${NULL_CONTAINER}","Request":{"ResourceType":"HvSocket"}}\n`,
    );
    expect(hresult(reply)).toBe('0x80004005');
    expect(textOf(reply)).toBe(
      `failed to unmarshal JSON in message "{"ContainerId":"${NULL_CONTAINER}","Request":{"ResourceType":"HvSocket"}}": invalid ResourceType 'HvSocket'`,
    );
  });

  test('names that every object has are no ResourceTypes', async () => {
    const { reply } = await ask(
      RAW.modifySettings,
      modify(NULL_CONTAINER, { ResourceType: 'constructor' }),
    );
    expect(textOf(reply)).toContain("invalid ResourceType 'constructor'");
  });

  test('a resource of the VM cannot be changed on a container', async () => {
    const { reply } = await ask(
      RAW.modifySettings,
      modify('c', { ResourceType: 'CombinedLayers' }),
    );
    expect(hresult(reply)).toBe('0x80004005');
    expect(textOf(reply)).toBe('the ResourceType "CombinedLayers" is not supported for containers');
  });

  test('a security policy and a fragment of one, whatever the request is called', async () => {
    const Settings = { EnforcerType: 'rego', EncodedSecurityPolicy: 'e30=' };
    const set = await ask(
      RAW.modifySettings,
      modify(NULL_CONTAINER, { ResourceType: 'SecurityPolicy', RequestType: 'Update', Settings }),
    );
    expect(hresult(set.reply)).toBe('0x0');
    expect(set.calls).toEqual([
      [
        'securityPolicy.set',
        { ...Settings, EncodedUVMReference: '', EncodedUVMHashEnvelopeReference: '' },
      ],
    ]);
    const fragment = { ResourceType: 'SecurityPolicyFragment', Settings: { Fragment: 'e30=' } };
    const added = await ask(RAW.modifySettings, modify(NULL_CONTAINER, fragment));
    expect(added.calls).toEqual([['securityPolicy.addFragment', 'e30=']]);
  });

  test.each([
    {},
    { Settings: null },
    { Settings: {} },
  ])('the memory limit of pods is refreshed, with %j', async (settings) => {
    const ResourceType = 'PodCgroupMemoryLimit';
    const request = { ResourceType, RequestType: 'Update', ...settings };
    const { reply, calls } = await ask(RAW.modifySettings, modify(NULL_CONTAINER, request));
    expect(hresult(reply)).toBe('0x0');
    expect(calls).toEqual([['refreshPodsLimit']]);
    const other = await ask(RAW.modifySettings, modify(NULL_CONTAINER, { ResourceType }));
    expect(textOf(other.reply)).toContain('the RequestType "Add" is not supported');
  });

  test('a message without a request', async () => {
    const { reply } = await ask(RAW.modifySettings, body('c'));
    expect(hresult(reply)).toBe('0xc037010d');
    expect(textOf(reply)).toContain('Request: missing');
  });
});
