import { MANAGEMENT_STREAM_PORT } from '../../vsock/ports.ts';
import { cgroupVersion } from '../cgroup-version.ts';
import { MANAGEMENT_VERSION, methods } from '../contract.ts';
import { ManagementError } from '../errors.ts';
import { managementLimits } from '../limits.ts';
import type { DoorServices } from '../services.ts';
import type { Handlers } from './handler.ts';

export function sessionHandlers({
  operations,
  facts,
}: DoorServices): Pick<Handlers, 'initialize' | 'stream.open'> {
  return {
    initialize: async ({ protocolVersion }) => {
      if (protocolVersion !== MANAGEMENT_VERSION) {
        throw new ManagementError(
          'not-supported',
          `version ${protocolVersion} is not spoken here, version ${MANAGEMENT_VERSION} is`,
          { field: 'protocolVersion' },
        );
      }
      const runtimes = await operations.runtimes();
      using probe = operations.subscribe(undefined, () => {});
      return {
        protocolVersion: MANAGEMENT_VERSION,
        agent: { name: 'gcs', version: facts.version, pid: process.pid },
        epoch: probe.epoch,
        capabilities: {
          methods: Object.keys(methods),
          runtimes: runtimes.map(({ name }) => name),
          checkpoint: runtimes.some(({ checkpoint }) => checkpoint.supported),
          logs: true,
          attach: true,
          copy: true,
          cgroupVersion: cgroupVersion(),
        },
        limits: managementLimits,
      };
    },
    'stream.open': ({ count = 1 }, { client }) => ({
      port: MANAGEMENT_STREAM_PORT,
      tokens: client.openStreams(count),
      expiresMs: managementLimits.streamTokenMs,
    }),
  };
}
