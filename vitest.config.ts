import { defineConfig } from 'vitest/config';

// On a shared build machine a real VM or a real process can be starved for seconds: there a test
// that failed is run once more, and the report says so. On a developer's machine it just fails.
const retry = process.env.CI === undefined ? 0 : 1;

// Integration tests start real agents, containers and processes on a machine of two cores: files
// run one after the other so that a census of what is left over is the census of one test.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts', 'vm-image/**/*.test.ts'],
          pool: 'forks',
          // No test waits for this: it is how long a starved machine may take.
          testTimeout: 60_000,
          retry,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 60_000,
          retry,
          hookTimeout: 60_000,
        },
      },
      {
        // The same tests of the bridge, and those of the VM itself, with one VM for all of them.
        test: {
          name: 'vm',
          include: ['test/vm/**/*.test.ts', 'test/integration/bridge-*.test.ts'],
          // Random requests need more of them in their time than an interpreted guest can do.
          exclude: ['test/integration/bridge-fuzz.test.ts'],
          globalSetup: ['test/vm/boot.ts'],
          pool: 'forks',
          fileParallelism: false,
          // Where there is no KVM everything takes many times longer.
          testTimeout: 180_000,
          retry,
          hookTimeout: 180_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
