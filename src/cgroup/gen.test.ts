import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { generateProto } from '../../scripts/generate-proto.ts';
import { BlkIOEntry, Metrics } from './gen/metrics.ts';
import { emptyMetrics } from './metrics.ts';

const repository = join(import.meta.dirname, '../..');
const root = new protobuf.Root().loadSync(join(repository, 'proto/metrics.proto'), {
  keepCase: true,
});
const reflected = root.lookupType('io.containerd.cgroups.v1.Metrics');

const largest = 0xffff_ffff_ffff_ffffn;

/** A message with a figure of its own in every field of every message type, made from the .proto itself. */
function filled(type: protobuf.Type, counter = { next: 1n }): Record<string, unknown> {
  const value = (field: protobuf.Field): unknown => {
    field.resolve();
    if (field.resolvedType instanceof protobuf.Type) return filled(field.resolvedType, counter);
    counter.next += 1n;
    if (field.type === 'string') return `text ${counter.next}`;
    if (field.type === 'uint32') return Number(counter.next);
    return largest - counter.next;
  };
  return Object.fromEntries(
    type.fieldsArray.map((field) => [
      field.name,
      field.repeated ? [value(field), value(field)] : value(field),
    ]),
  );
}

/** protobufjs wants no bigint: 64-bit values as decimal text. */
function withTexts(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(withTexts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withTexts(item)]));
}

function toObject(message: protobuf.Message): unknown {
  return reflected.toObject(message, { longs: String });
}

const sample = filled(reflected) as unknown as Metrics;

describe('the metrics message', () => {
  test('what the generated code encodes, protobufjs decodes to the same figures', () => {
    const bytes = Metrics.encode(sample).finish();
    expect(toObject(reflected.decode(bytes))).toEqual(withTexts(sample));
  });

  test('what protobufjs encodes, the generated code decodes to the same figures', () => {
    const message = reflected.fromObject(withTexts(sample) as Record<string, unknown>);
    const bytes = reflected.encode(message).finish();
    expect(Metrics.decode(bytes)).toEqual(sample);
  });

  test('both encode to the same bytes', () => {
    const message = reflected.fromObject(withTexts(sample) as Record<string, unknown>);
    const ours = Buffer.from(Metrics.encode(sample).finish());
    expect(ours.toString('hex')).toBe(
      Buffer.from(reflected.encode(message).finish()).toString('hex'),
    );
  });

  test('field numbers are those containerd reads', () => {
    const bytes = Metrics.encode({
      ...emptyMetrics(),
      pids: { current: 3n, limit: largest },
      memory_oom_control: { oom_kill_disable: 0n, under_oom: 0n, oom_kill: 1n },
    }).finish();
    // 2: {1: 3, 2: 2^64-1}, 9: {3: 1}
    expect(Buffer.from(bytes).toString('hex')).toBe('120d080310ffffffffffffffffff014a021801');
    const entry = { op: 'Read', device: '', major: 8n, minor: 0n, value: 4096n };
    expect(Buffer.from(BlkIOEntry.encode(entry).finish()).toString('hex')).toBe(
      '0a0452656164180828' + '8020',
    );
  });

  test('a figure beyond 64 bits is refused, not cut', () => {
    const metrics = { ...emptyMetrics(), pids: { current: largest + 1n, limit: 0n } };
    expect(() => Metrics.encode(metrics).finish()).toThrow(/too large/);
  });
});

test('the committed code is what the .proto generates', async ({ skip }) => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-proto-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  try {
    await generateProto(directory);
  } catch (error) {
    const missing = (error as { code?: unknown }).code === 'ENOENT';
    // Without protoc nobody here changed the .proto; CI must have it (Debian: protobuf-compiler).
    if (missing && !process.env.CI) skip('protoc is not installed');
    throw error;
  }
  const read = (path: string) => readFileSync(path, 'utf8');
  expect(read(join(directory, 'metrics.ts'))).toBe(
    read(join(repository, 'src/cgroup/gen/metrics.ts')),
  );
});
