import { describe, expect, test } from 'vitest';
import { parseProcess, parseSpec } from './validate.ts';

const minimal = () => ({
  ociVersion: '1.0.2',
  process: { args: ['sh'], cwd: '/' },
  root: { path: '/run/gcs/c/a/rootfs' },
  linux: {},
});

/** The minimal spec with changes at the first level. */
const withFields = (fields: object) => ({ ...minimal(), ...fields });
const withProcess = (fields: object) =>
  withFields({ process: { args: ['sh'], cwd: '/', ...fields } });

describe('an OCI spec from the host', () => {
  test('keeps unknown fields and 64-bit integers as they came', () => {
    const spec = withFields({
      process: {
        args: ['sh'],
        cwd: '/work',
        rlimits: [{ type: 'RLIMIT_CORE', hard: 18446744073709551615n, soft: 0 }],
        ioPriority: { class: 'IOPRIO_CLASS_IDLE' },
      },
      linux: { resources: { memory: { limit: -1, swap: 9223372036854775807n } }, timeOffsets: {} },
      vendor: [1, { deep: null }],
    });
    expect(parseSpec(spec)).toEqual(spec);
  });

  test('does not change the value it is given', () => {
    const spec = { ...minimal(), Mounts: null, process: { Args: ['sh'] } };
    const before = structuredClone(spec);
    parseSpec(spec);
    expect(spec).toEqual(before);
  });

  test.each([
    ['no object', 7, 'OciSpecification'],
    ['null', null, 'OciSpecification'],
    ['a list', [], 'OciSpecification'],
    ['no process', withFields({ process: undefined }), 'OciSpecification.process'],
    ['process null', withFields({ process: null }), 'OciSpecification.process'],
    ['no root', withFields({ root: undefined }), 'OciSpecification.root'],
    ['no linux', withFields({ linux: undefined }), 'OciSpecification.linux'],
    ['linux null', withFields({ linux: null }), 'OciSpecification.linux'],
    ['root without a path', withFields({ root: {} }), 'OciSpecification.root.path'],
    ['an empty root path', withFields({ root: { path: '' } }), 'OciSpecification.root.path'],
    ['a NUL in a path', withFields({ root: { path: '/a\0b' } }), 'OciSpecification.root.path'],
    [
      'readonly no boolean',
      withFields({ root: { path: '/', readonly: 1 } }),
      'OciSpecification.root.readonly',
    ],
    ['hostname no text', withFields({ hostname: {} }), 'OciSpecification.hostname'],
    ['mounts no list', withFields({ mounts: {} }), 'OciSpecification.mounts'],
    ['a mount null', withFields({ mounts: [null] }), 'OciSpecification.mounts[0]'],
    [
      'a mount without a destination',
      withFields({ mounts: [{ destination: '/a' }, { source: '/b' }] }),
      'OciSpecification.mounts[1].destination',
    ],
    [
      'mount options no texts',
      withFields({ mounts: [{ destination: '/a', options: ['ro', 3] }] }),
      'OciSpecification.mounts[0].options[1]',
    ],
    [
      'an annotation no text',
      withFields({ annotations: { a: 1 } }),
      'OciSpecification.annotations.a',
    ],
    [
      'cgroupsPath no text',
      withFields({ linux: { cgroupsPath: [] } }),
      'OciSpecification.linux.cgroupsPath',
    ],
    [
      'a namespace without a type',
      withFields({ linux: { namespaces: [{ path: '/x' }] } }),
      'OciSpecification.linux.namespaces[0].type',
    ],
    [
      'resources no object',
      withFields({ linux: { resources: 'all' } }),
      'OciSpecification.linux.resources',
    ],
    ['no args', withFields({ process: { cwd: '/' } }), 'OciSpecification.process.args'],
    ['args null', withProcess({ args: null }), 'OciSpecification.process.args'],
    ['empty args', withProcess({ args: [] }), 'OciSpecification.process.args'],
    ['an empty program', withProcess({ args: ['', 'x'] }), 'OciSpecification.process.args[0]'],
    ['args no list', withProcess({ args: 'sh' }), 'OciSpecification.process.args'],
    ['an argument no text', withProcess({ args: ['sh', 3n] }), 'OciSpecification.process.args[1]'],
    [
      'a NUL in an argument',
      withProcess({ args: ['sh', 'a\0'] }),
      'OciSpecification.process.args[1]',
    ],
    ['env without =', withProcess({ env: ['A=1', 'SECRET'] }), 'OciSpecification.process.env[1]'],
    ['env without a name', withProcess({ env: ['=1'] }), 'OciSpecification.process.env[0]'],
    ['a NUL in env', withProcess({ env: ['A=\0'] }), 'OciSpecification.process.env[0]'],
    ['cwd not absolute', withProcess({ cwd: 'work' }), 'OciSpecification.process.cwd'],
    ['terminal no boolean', withProcess({ terminal: 'yes' }), 'OciSpecification.process.terminal'],
    ['a negative uid', withProcess({ user: { uid: -1 } }), 'OciSpecification.process.user.uid'],
    [
      'uid beyond 32 bits',
      withProcess({ user: { uid: 2 ** 32 } }),
      'OciSpecification.process.user.uid',
    ],
    ['gid a fraction', withProcess({ user: { gid: 1.5 } }), 'OciSpecification.process.user.gid'],
    [
      'a group no number',
      withProcess({ user: { additionalGids: [1, 'audio'] } }),
      'OciSpecification.process.user.additionalGids[1]',
    ],
    [
      'a NUL in the user name',
      withProcess({ user: { username: '\0' } }),
      'OciSpecification.process.user.username',
    ],
    [
      'a negative resource limit',
      withProcess({ rlimits: [{ type: 'RLIMIT_CORE', hard: 1, soft: -1 }] }),
      'OciSpecification.process.rlimits[0].soft',
    ],
    [
      'a resource limit beyond 64 bits',
      withProcess({ rlimits: [{ type: 'RLIMIT_CORE', hard: 2n ** 64n, soft: 1 }] }),
      'OciSpecification.process.rlimits[0].hard',
    ],
    [
      'a resource limit without a type',
      withProcess({ rlimits: [{ hard: 1, soft: 1 }] }),
      'OciSpecification.process.rlimits[0].type',
    ],
    [
      'a console larger than a terminal can be',
      withProcess({ consoleSize: { height: 65536, width: 80 } }),
      'OciSpecification.process.consoleSize.height',
    ],
  ])('refuses %s and names the field', (_, value, field) => {
    let error: unknown;
    try {
      parseSpec(value);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ name: 'AgentError', code: 'invalid-argument', field });
    expect((error as Error).message).toMatch(new RegExp(`^${field.replace(/[[\].]/g, '\\$&')}: `));
  });

  test('does not repeat an environment variable, which may be a secret', () => {
    expect(() => parseSpec(withProcess({ env: ['hunter2'] }))).not.toThrow(/hunter2/);
  });

  test('a missing working directory is the root', () => {
    expect(parseSpec(withFields({ process: { args: ['sh'] } })).process?.cwd).toBe('/');
  });

  test('null is missing', () => {
    const spec = parseSpec(withFields({ mounts: null, hostname: null, annotations: null }));
    expect(spec).toEqual(minimal());
  });

  test('the edges of what numbers may be', () => {
    const user = { uid: 4294967295, gid: 0, additionalGids: [4294967295] };
    const rlimits = [{ type: 'RLIMIT_NOFILE', hard: 18446744073709551615n, soft: 0 }];
    const spec = parseSpec(withProcess({ user, rlimits }));
    expect(spec.process).toMatchObject({ user, rlimits });
  });

  test('field names match without regard to case, the last one wins, as in the runtime', () => {
    const spec = parseSpec({
      Process: { ARGS: ['sh'], CWD: '/w', User: { UserName: 'x' } },
      ROOT: { Path: '/r', ReadOnly: true },
      linux: { cgroupsPath: '/first', CgroupsPath: '/second', ſeccomp: { a: 1 } },
      Annotations: { KeyS: 'stay' },
    });
    expect(spec).toEqual({
      process: { args: ['sh'], cwd: '/w', user: { username: 'x' } },
      root: { path: '/r', readonly: true },
      linux: { cgroupsPath: '/second', seccomp: { a: 1 } },
      annotations: { KeyS: 'stay' },
    });
  });

  test('a field called __proto__ stays a field', () => {
    const spec = parseSpec({
      ...minimal(),
      annotations: JSON.parse('{"__proto__":"text"}') as object,
      ...(JSON.parse('{"__proto__":{"polluted":true}}') as object),
    });
    expect(Object.getPrototypeOf(spec)).toBe(Object.prototype);
    expect(Object.keys(spec.annotations ?? {})).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

test('a process of its own is checked under its own path, with its own default directory', () => {
  expect(
    parseProcess({ args: ['ls'], consoleSize: { height: 30, width: 100 } }, 'OciProcess', '/w'),
  ).toEqual({
    args: ['ls'],
    cwd: '/w',
    consoleSize: { height: 30, width: 100 },
  });
  expect(() => parseProcess({ args: [] }, 'OciProcess')).toThrow(
    /^OciProcess\.args: must not be empty$/,
  );
});
