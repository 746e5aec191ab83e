import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { annotation } from './annotations.ts';
import { refuseGpu } from './gpu.ts';

const spec = { annotations: { [annotation.gpuCapabilities]: 'utility' } };

test('a GPU is refused by what is missing: the driver, or else its support', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-gpu-'));
  try {
    expect(() => refuseGpu(spec, directory)).toThrow(
      expect.objectContaining({
        code: 'not-supported',
        message: expect.stringContaining('nvidia-container-cli is not in PATH'),
      }),
    );
    writeFileSync(join(directory, 'nvidia-container-cli'), '');
    expect(() => refuseGpu(spec, directory)).toThrow('GPUs cannot be assigned by this agent');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('who wants none is not refused', () => {
  refuseGpu({ annotations: { [annotation.gpuCapabilities]: '' } }, '');
  refuseGpu({ windows: { devices: [{ id: 'x', idType: 'vpci-instance-id' }] } }, '');
});
