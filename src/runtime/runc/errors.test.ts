import { describe, expect, it } from 'vitest';
import { parseContainerId } from '../container-id.ts';
import { codeOfText, commandError } from './errors.ts';

describe('codeOfText', () => {
  it.each([
    ['container does not exist', 'not-found'],
    ['exec failed: container does not exist', 'not-found'],
    ['container "x" does not exist', 'not-found'],
    ['error opening file `/run/crun/x/status`: No such file or directory', 'not-found'],
    ["cannot open directory '/run/crun/x': No such file or directory", 'not-found'],
    ['runc create failed: container with given ID already exists', 'already-exists'],
    ['container with id exists: x', 'already-exists'],
    ['container `x` already exists', 'already-exists'],
    ['runc create failed: invalid container ID format', 'invalid-id'],
    ['invalid id format: x', 'invalid-id'],
    ['cannot delete container x that is not stopped: running', 'not-stopped'],
    ['the container `x` is not in `created` or `stopped` state', 'not-stopped'],
    ['container still running', 'still-running'],
    ['container not running', 'not-running'],
    ['exec failed: cannot exec in a stopped container', 'not-running'],
    ['cannot start a container that has stopped', 'not-running'],
    ['unable to signal init: os: process already finished', 'not-running'],
    ['cannot start an already running container', 'already-running'],
    ['cannot open `/run/crun/x/exec.fifo`: No such file or directory', 'already-running'],
    ['something new', 'other'],
    ['', 'other'],
  ])('%j is %s', (text, code) => {
    expect(codeOfText(text)).toBe(code);
  });

  it('is not led by text that comes from a spec', () => {
    const text =
      'exec failed: unable to start container process: exec: "container does not exist": executable file not found in $PATH';
    expect(codeOfText(text)).toBe('other');
    expect(codeOfText('mkdir /x: file already exists')).toBe('other');
  });
});

describe('commandError', () => {
  const id = parseContainerId('box');

  it('speaks of create and exec, and of other commands, as hosts know it', () => {
    const exec = commandError({
      program: 'runc',
      operation: 'exec',
      id,
      status: { kind: 'exited', code: 255 },
      text: 'exec failed: cannot exec in a stopped container',
    });
    expect(exec.message).toBe(
      'failed to run runc create/exec call for container box with exit status 255: exec failed: cannot exec in a stopped container',
    );
    expect(exec).toMatchObject({
      code: 'not-running',
      operation: 'exec',
      containerId: 'box',
      exitStatus: { kind: 'exited', code: 255 },
      runtimeMessage: 'exec failed: cannot exec in a stopped container',
    });
    const start = commandError({
      program: 'runc',
      operation: 'start',
      id,
      status: { kind: 'exited', code: 1 },
      text: 'cannot start an already running container',
    });
    expect(start.message).toBe(
      'runc start failed with exit status 1: cannot start an already running container',
    );
  });

  it('is complete when the runtime died silently, and adds what we know', () => {
    const killed = commandError({
      program: 'runc',
      operation: 'list',
      id: undefined,
      status: { kind: 'signaled', signal: 9, coreDumped: false },
      text: undefined,
      remark: 'out of memory',
    });
    expect(killed.message).toBe('runc list failed with signal SIGKILL (out of memory)');
    expect(killed).toMatchObject({ code: 'other', containerId: undefined });
  });
});
