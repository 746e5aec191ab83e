import { describe, expect, test } from 'vitest';
import { AgentError } from '../errors.ts';
import { SchemaError } from '../schema/schema.ts';
import { catalogue, type ReplyBody } from './catalogue.ts';
import { cutText, encodedBytes } from './cut-text.ts';
import { failureOf, Hresult, HresultError, inContext } from './hresult.ts';
import type { RequestName } from './message-types.ts';
import { notificationFrame } from './notification-frame.ts';
import { failureText, fitsReply, replyFrame, successText } from './reply.ts';

function success<N extends RequestName>(name: N, activityId: string, body: ReplyBody<N>): string {
  return successText(catalogue[name].reply, activityId, body);
}

const zero = '00000000-0000-0000-0000-000000000000';

describe('golden replies, as seen on the wire of the agent hosts know', () => {
  test('an error without a cause', () => {
    const text = failureText(zero, failureOf(new HresultError(Hresult.SystemNotFound, '')));
    expect(text).toBe(
      '{"Result":-1070137074,"ActivityId":"00000000-0000-0000-0000-000000000000","ErrorMessage":"HRESULT: 0xc037010e","ErrorRecords":[{"Result":-1070137074,"Message":"HRESULT: 0xc037010e","ModuleName":"gcs","FileName":"","Line":4294967295}]}',
    );
  });

  test('a frame', () => {
    const frame = replyFrame(0x10100201, 3n, success('Start', zero, {}));
    expect(frame.toString('latin1')).toBe(
      `\x01\x02\x10\x20\x50\0\0\0\x03\0\0\0\0\0\0\0{"Result":0,"ActivityId":"${zero}"}`,
    );
  });

  test('Negotiate', () => {
    const body = {
      Version: 4,
      Capabilities: {
        SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
        RuntimeOsType: 'Linux',
        GuestDefinedCapabilities: { SendHostCreateMessage: false, SignalProcessSupported: true },
      },
    };
    expect(success('NegotiateProtocol', zero, body)).toBe(
      `{"Result":0,"ActivityId":"${zero}","Version":4,"Capabilities":{"SupportedSchemaVersions":[{"Major":2,"Minor":1}],"RuntimeOsType":"Linux","GuestDefinedCapabilities":{"SignalProcessSupported":true}}}`,
    );
  });

  test('Create and WaitForProcess write their zero', () => {
    expect(success('Create', zero, { SelectedProtocolVersion: 0 })).toContain(
      '"SelectedProtocolVersion":0',
    );
    expect(success('WaitForProcess', zero, { ExitCode: 0 })).toContain('"ExitCode":0');
  });

  test('the exit notification', () => {
    const frame = notificationFrame('c1', zero, 'UnexpectedExit');
    const json = `{"ContainerId":"c1","ActivityId":"${zero}","Type":"UnexpectedExit","Operation":"None","Result":0}`;
    expect(frame.toString('latin1', 16)).toBe(json);
    expect(frame.readUInt32LE(0)).toBe(0x30100101);
    expect(frame.readUInt32LE(4)).toBe(16 + json.length);
    expect(frame.readBigUInt64LE(8)).toBe(0n);
  });

  test('`<`, `>`, `&` and line separators are escaped', () => {
    expect(failureText('', { result: -1, message: '<a>&\u2028' })).toContain(
      '"ErrorMessage":"\\u003ca\\u003e\\u0026\\u2028"',
    );
  });
});

describe('ActivityId', () => {
  test('a GUID comes back as it was written', () => {
    const guid = '1F2E3D4C-0000-4000-8000-0123456789aB';
    expect(JSON.parse(success('Start', guid, {})).ActivityId).toBe(guid);
  });

  test.each([
    '',
    'x',
    `${zero}0`,
    `{${zero}}`,
    zero.replace('-', ''),
  ])('what is no GUID is left out, it would end the bridge of the host: %j', (id) => {
    expect(JSON.parse(success('Start', id, {}))).not.toHaveProperty('ActivityId');
    expect(JSON.parse(failureText(id, { result: -1, message: 'x' }))).not.toHaveProperty(
      'ActivityId',
    );
  });

  test('a notification says more of an end for memory, as JSON in a string, and of no other', () => {
    const text = (memoryKills?: number) =>
      notificationFrame('c', zero, 'UnexpectedExit', memoryKills).toString('utf8', 16);
    expect(text(2)).toBe(
      text().replace(
        '"Result":0}',
        '"Result":0,"ResultInfo":"{\\"OutOfMemory\\":true,\\"MemoryKills\\":2}"}',
      ),
    );
    expect(text(0)).toBe(text());
  });

  test('a notification always has one', () => {
    expect(JSON.parse(notificationFrame('c', '', 'ForcedExit').toString('utf8', 16))).toMatchObject(
      {
        ActivityId: zero,
      },
    );
  });
});

describe('error texts and numbers', () => {
  test.each([
    ['container-not-found', 0xc037010e],
    ['container-exists', 0xc037010f],
    ['container-not-stopped', 0x80370105],
    ['container-not-running', 0x80370110],
    ['container-busy', 0x80370105],
    ['invalid-container-id', 0x80070057],
    ['invalid-argument', 0x80070057],
    ['process-not-found', 0x80070490],
    ['namespace-not-found', 0x80070490],
    ['wait-timeout', 0xc0370109],
    ['not-supported', 0x80004001],
  ] as const)('%s', (code, hresult) => {
    const number = `0x${hresult.toString(16)}`;
    expect(failureOf(new AgentError(code, 'because'))).toEqual({
      result: hresult | 0,
      message: `HRESULT ${number}: because`,
    });
    expect(failureOf(new AgentError(code, '')).message).toBe(`HRESULT: ${number}`);
  });

  test.each([
    'failed',
    'limit',
    'cancelled',
    'not-a-terminal',
  ] as const)('%s has no number of its own: E_FAIL, and the text alone', (code) => {
    expect(failureOf(new AgentError(code, 'because'))).toEqual({
      result: -2147467259,
      message: 'because',
    });
  });

  test('anything else that was thrown is E_FAIL with its text', () => {
    expect(failureOf(new TypeError('oops'))).toEqual({ result: -2147467259, message: 'oops' });
    expect(failureOf('text').message).toBe('text');
  });

  test('a wrong type names the field, context comes before', () => {
    const failure = failureOf(new SchemaError('A.b[2]', 'expected string, found number'));
    expect(inContext('failed to decode', failure)).toEqual({
      result: -1070137075,
      message: 'failed to decode: HRESULT 0xc037010d: A.b[2]: expected string, found number',
    });
  });
});

describe('the size of a reply', () => {
  test.each([
    'x',
    '<',
    '"',
    '€',
    '😀',
    '\n',
    '\u0001',
  ])('an error text of a million %j is cut in both places and says so', (character) => {
    const message = `begin ${character.repeat(1_000_000)} end`;
    const text = failureText(zero, { result: -1, message });
    expect(fitsReply(text)).toBe(true);
    const reply = JSON.parse(text);
    expect(reply.ErrorMessage).toMatch(/^begin .*\[cut, \d+ bytes in all\].* end$/s);
    expect(reply.ErrorRecords[0].Message).toBe(reply.ErrorMessage);
    // A half surrogate pair would not survive the way to the host.
    expect(reply.ErrorMessage.isWellFormed()).toBe(true);
  });

  test('65,536 bytes with the header fit, one more does not', () => {
    expect(fitsReply('x'.repeat(65_520))).toBe(true);
    expect(fitsReply('x'.repeat(65_521))).toBe(false);
    expect(fitsReply('é'.repeat(32_760))).toBe(true);
    expect(fitsReply('é'.repeat(32_761))).toBe(false);
  });

  test('a cut text uses the room it has', () => {
    for (const keep of ['start', 'ends'] as const) {
      const cut = cutText('<€a>'.repeat(1000), 1000, keep);
      expect(encodedBytes(cut)).toBeLessThanOrEqual(1000);
      expect(encodedBytes(cut)).toBeGreaterThan(980);
    }
  });

  test('a text that fits is not touched', () => {
    expect(cutText('short', 5, 'ends')).toBe('short');
  });
});
