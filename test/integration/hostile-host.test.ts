/** Every field of a host's settings that names a path, a number or a text, with what a hostile host puts there. */
import { expect, test } from 'vitest';
import { NULL_CONTAINER, RAW, RawFailure } from '../support/raw-client.ts';
import { create } from '../support/raw-flows.ts';
import { bundleOf, type Session, spec, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

/** A value that cannot be, and one that is no value of its type: what a host gets is not the same. */
const REFUSED = [0x80070057, 0xc037010d];
const ID = '0badcafe-0000-4000-8000-0000000000ff';
const NAMESPACE = '0badcafe-0000-4000-8000-0000000000fe';

/** Made once for all cases: links where a host might place them, and a file where a directory should be. */
const PLACE = '/run/hostile';
const PREPARE = `mkdir -p ${PLACE}/layer ${PLACE}/real; ln -s /tmp ${PLACE}/link; ln -s nowhere ${PLACE}/dangling
ln -s circle ${PLACE}/circle; : >${PLACE}/file`;

/** All a request could have made. */
const TRACE = `cat /proc/self/mountinfo; find /run -xdev | grep -v '^/run/gcs/state' | sort
find /sys/fs/cgroup -type d | sort; ip -o link | cut -d: -f2; ls /sys/block; find /tmp -maxdepth 1 -name 'hostile*'`;

type Case = [what: string, request: (s: Session) => Promise<unknown>, field: string];

const long = 'x'.repeat(256);
const longPath = `/run/${'d/'.repeat(2100)}x`;

const add =
  (type: string, settings: object): Case[1] =>
  (s) =>
    s.call(RAW.modifySettings, {
      ContainerId: NULL_CONTAINER,
      Request: { RequestType: 'Add', ResourceType: type, Settings: settings },
    });

const adapter = (settings: object) => add('Network', { NamespaceID: NAMESPACE, ID, ...settings });

/** What no field that names a directory may lead through. */
const paths: [what: string, path: string][] = [
  ["'..'", '/run/hostile/../../etc/hostile'],
  ['a relative path', 'run/hostile/x'],
  ['the root', '/'],
  ['a NUL', '/run/hostile/\0x'],
  ['a name of 256 bytes', `/run/${long}`],
  ['a path of 4206 bytes', longPath],
  ['a symbolic link', `${PLACE}/link/hostile`],
  ['a dangling link', `${PLACE}/dangling/x`],
  ['a circle of links', `${PLACE}/circle/x`],
  ['a file on the way', `${PLACE}/file/x`],
  ['a device on the way', '/dev/null/x'],
];

const pathFields: [name: string, field: string, request: (path: string) => Case[1]][] = [
  [
    'a disk’s MountPath',
    'MountPath',
    (MountPath) => add('MappedVirtualDisk', { MountPath, Controller: 0, Lun: 0, BlockDev: true }),
  ],
  ['a pmem’s MountPath', 'MountPath', (MountPath) => add('VPMemDevice', { MountPath })],
  [
    'a share’s MountPath',
    'MountPath',
    (MountPath) => add('MappedDirectory', { MountPath, Port: 1, ShareName: 'x' }),
  ],
  [
    'ContainerRootPath',
    'ContainerRootPath',
    (ContainerRootPath) =>
      add('CombinedLayers', { ContainerRootPath, Layers: [{ Path: `${PLACE}/layer` }] }),
  ],
  [
    'a layer’s Path',
    'Layers[1].Path',
    (Path) =>
      add('CombinedLayers', {
        ContainerRootPath: `${PLACE}/root`,
        Layers: [{ Path: `${PLACE}/layer` }, { Path }],
      }),
  ],
  [
    'ScratchPath',
    'ScratchPath',
    (ScratchPath) =>
      add('CombinedLayers', {
        ContainerRootPath: `${PLACE}/root`,
        Layers: [{ Path: `${PLACE}/layer` }],
        ScratchPath,
      }),
  ],
];

const created =
  (
    options: Parameters<typeof spec>[0] | (() => object),
    bundle?: string,
    extra: object = {},
  ): Case[1] =>
  (s) => {
    const ociSpec = typeof options === 'function' ? options() : spec(options);
    return create(s.bridge, 'hostile', bundle ?? bundleOf('hostile'), ociSpec, extra);
  };

const sleeper = { args: ['sleep', '9'] };

const cases: Case[] = [
  ...pathFields.flatMap(([name, field, request]) =>
    paths
      // Devices are looked for first, and what a link leads through is only seen when it is opened.
      .filter(([what]) => name !== 'a pmem’s MountPath' || !/link|file|device/.test(what))
      .filter(([what]) => name !== 'a disk’s MountPath' || !/link|file|device/.test(what))
      .filter(([what]) => name !== 'a share’s MountPath' || !/link|file|device/.test(what))
      .map(([what, path]): Case => [`${name}: ${what}`, request(path), field]),
  ),
  ...paths.flatMap(([what, path]): Case[] => [
    [`OciBundlePath: ${what}`, created(sleeper, path), 'OciBundlePath'],
    [
      `ScratchDirPath: ${what}`,
      created(sleeper, undefined, { ScratchDirPath: path }),
      'ScratchDirPath',
    ],
  ]),
  ['OciBundlePath: a file', created(sleeper, `${PLACE}/file`), 'OciBundlePath'],
  [
    'ScratchDirPath: a file',
    created(sleeper, undefined, { ScratchDirPath: `${PLACE}/file` }),
    'ScratchDirPath',
  ],
  [
    '300 layers',
    add('CombinedLayers', {
      ContainerRootPath: `${PLACE}/root`,
      Layers: Array(300).fill({ Path: `${PLACE}/layer` }),
    }),
    'Layers',
  ],
  ['a negative lun', add('MappedVirtualDisk', { MountPath: '/run/m', Lun: -1 }), 'Lun'],
  ['a lun of 256', add('MappedVirtualDisk', { MountPath: '/run/m', Lun: 256 }), 'Lun'],
  [
    'a fifth controller',
    add('MappedVirtualDisk', { MountPath: '/run/m', Controller: 4 }),
    'Controller',
  ],
  ['a negative lun to unplug', removeScsi({ Controller: 0, Lun: -1 }), 'Lun'],
  [
    'a negative port',
    add('MappedDirectory', { MountPath: '/run/m', Port: -1, ShareName: 'x' }),
    'Port',
  ],
  [
    'options in a share’s name',
    add('MappedDirectory', { MountPath: '/run/m', Port: 1, ShareName: 'a,access=any' }),
    'ShareName',
  ],
  ['a path as PCI address', add('VPCIDevice', { VMBusGUID: '../../..' }), 'VMBusGUID'],
  ['an adapter’s id that leads out', adapter({ ID: '../../x' }), 'ID'],
  ['an overlong id', adapter({ ID: long }), 'ID'],
  ['no namespace', adapter({ NamespaceID: '' }), 'NamespaceID'],
  [
    'an address that is none',
    adapter({ IPConfigs: [{ IPAddress: '1.2.3', PrefixLength: 8 }] }),
    'IPConfigs[0].IPAddress',
  ],
  [
    'a prefix of 33',
    adapter({ IPConfigs: [{ IPAddress: '10.0.0.1', PrefixLength: 33 }] }),
    'IPConfigs[0].PrefixLength',
  ],
  ['a prefix of 0', adapter({ IPAddress: '10.0.0.1', PrefixLength: 0 }), 'PrefixLength'],
  ...['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', 'x/8', '10.0.0.0/8/8', '::/129'].map(
    (DestinationPrefix): Case => [
      `the destination ${DestinationPrefix}`,
      adapter({
        IPConfigs: [{ IPAddress: '10.0.0.1', PrefixLength: 8 }],
        Routes: [{ NextHop: '10.0.0.2', DestinationPrefix }],
      }),
      'Routes[0].DestinationPrefix',
    ],
  ),
  ['a DNS suffix with a newline', adapter({ DNSSuffix: 'a\nnameserver 6.6.6.6' }), 'DNSSuffix'],
  [
    'a name server with a newline',
    adapter({ DNSServerList: '1.1.1.1\nsearch x' }),
    'DNSServerList',
  ],
  ['a MAC of text', adapter({ MacAddress: 'x; reboot' }), 'MacAddress'],
  ['a host name with a newline', created({ ...sleeper, hostname: 'a\nb' }), 'hostname'],
  ['an overlong host name', created({ ...sleeper, hostname: 'x'.repeat(65) }), 'hostname'],
  ['a variable without =', created({ ...sleeper, env: ['NOTHING'] }), 'process.env[1]'],
  ['a variable without a name', created({ ...sleeper, env: ['A=1', '=x'] }), 'process.env[2]'],
];

function removeScsi(Settings: object): Case[1] {
  return (s) =>
    s.call(RAW.modifySettings, {
      ContainerId: NULL_CONTAINER,
      Request: { RequestType: 'Remove', ResourceType: 'SCSIDevice', Settings },
    });
}

test(
  'each is refused as an invalid argument that names its field, and nothing is made',
  () =>
    withSession(async (s) => {
      await s.uvmSh(PREPARE);
      try {
        // The first of a kind loads code and makes what stays: it is not what is looked for.
        await expect(adapter({ ID: '../../x' })(s)).rejects.toThrow();
        const before = await s.uvmSh(TRACE);
        const wrong: string[] = [];
        for (const [what, request, field] of cases) {
          const error = await request(s).then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (!(error instanceof RawFailure)) wrong.push(`${what}: taken`);
          else if (!REFUSED.includes(error.hresult) || !error.message.includes(field)) {
            wrong.push(`${what}: ${error.message}`);
          }
          const after = await s.uvmSh(TRACE);
          if (after !== before) wrong.push(`${what}: left something:\n${added(before, after)}`);
        }
        expect(wrong).toEqual([]);
        // The agent goes on as ever.
        await s.create('after', sleeper);
        await s.delete('after');
      } finally {
        await s.uvmSh(`rm -rf ${PLACE}`);
      }
    }),
  120_000,
);

function added(before: string, after: string): string {
  const known = new Set(before.split('\n'));
  return after
    .split('\n')
    .filter((line) => !known.has(line))
    .join('\n');
}

test('colons and commas in the paths of layers are parts of names', () =>
  withSession(async (s) => {
    const odd = ['a:b', 'c,lowerdir=/etc', 'd\\:e', "f'g"];
    await s.uvmSh(
      odd
        .map(
          (name, index) =>
            `mkdir -p "${PLACE}/${name}"; echo ${index} >"${PLACE}/${name}/f${index}"`,
        )
        .join('\n')
        .replaceAll('\\', '\\\\'),
    );
    const settings = {
      ContainerRootPath: `${PLACE}/root:x,y`,
      Layers: odd.map((name) => ({ Path: `${PLACE}/${name}` })),
    };
    await add('CombinedLayers', settings)(s);
    expect(await s.uvmSh(`cat "${settings.ContainerRootPath}"/f?`)).toBe('0\n1\n2\n3\n');
    await s.call(RAW.modifySettings, {
      ContainerId: NULL_CONTAINER,
      Request: { RequestType: 'Remove', ResourceType: 'CombinedLayers', Settings: settings },
    });
    await s.uvmSh(`rm -r ${PLACE}`);
  }));
