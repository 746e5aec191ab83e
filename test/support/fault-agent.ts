/**
 * An agent that can be killed between any two of its steps: the agent itself has no switch for
 * that, so this is a bundle of its own in which one module is another one.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle, ROOT } from '../../scripts/bundle.ts';

/** Directory with everything bin/gcs looks for beside itself; the caller removes it. */
export async function buildFaultAgent(): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'gcs-faults-'));
  try {
    mkdirSync(join(root, 'bin'));
    mkdirSync(join(root, 'build'));
    copyFileSync(join(ROOT, 'bin/gcs'), join(root, 'bin/gcs'));
    copyFileSync(join(ROOT, 'scripts/start.cjs'), join(root, 'build/start.cjs'));
    symlinkSync(join(ROOT, 'build/native'), join(root, 'build/native'));
    symlinkSync(join(ROOT, 'build/init'), join(root, 'build/init'));
    symlinkSync(process.execPath, join(root, 'node'));
    await bundle({
      entry: 'src/main.ts',
      outfile: join(root, 'build/gcs.cjs'),
      plugins: [
        {
          name: 'fault points',
          setup(build) {
            build.onResolve({ filter: /\/fault-point\.ts$/ }, () => ({
              path: join(ROOT, 'test/support/fault-point.ts'),
            }));
          },
        },
      ],
    });
    return root;
  } catch (error) {
    rmSync(root, { recursive: true, force: true });
    throw error;
  }
}
