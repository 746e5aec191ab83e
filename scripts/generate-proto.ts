/**
 * Writes src/cgroup/gen from proto/: `node scripts/generate-proto.ts`. Needs protoc (Debian:
 * protobuf-compiler); the result is committed, so only who changes a .proto needs it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

const repository = join(import.meta.dirname, '..');

/** Field names stay as in the .proto (they are JSON keys too), 64-bit integers are bigint, and nothing is emitted but types, encode and decode. Versions are left out, so that the text depends on the .proto alone. */
const options = [
  'forceLong=bigint',
  'snakeToCamel=false',
  'esModuleInterop=true',
  'importSuffix=.ts',
  'outputJsonMethods=false',
  'outputPartialMethods=false',
  'exportCommonSymbols=false',
  'annotateFilesWithVersion=false',
];

/** Generates TypeScript for proto/metrics.proto into a directory; throws execa's error when protoc is missing (ENOENT) or fails. */
export async function generateProto(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  await execa('protoc', [
    `--plugin=${join(repository, 'node_modules/.bin/protoc-gen-ts_proto')}`,
    `--ts_proto_out=${directory}`,
    `--ts_proto_opt=${options.join(',')}`,
    `--proto_path=${join(repository, 'proto')}`,
    'metrics.proto',
  ]);
}

if (import.meta.main) {
  const directory = join(repository, 'src/cgroup/gen');
  await generateProto(directory);
  console.log(`wrote ${join(directory, 'metrics.ts')}`);
}
