import { AgentError } from '../errors.ts';
import type { Fd } from '../os/fd.ts';
import { attachableReadOnlyBind } from './bind.ts';
import { type Directories, openHostDirectory, removeTree } from './directories.ts';
import { badValue, hostPath, isAtOrBelow } from './host-path.ts';
import { storageLimits } from './limits.ts';
import type { MountPlan } from './mount-plan.ts';
import { MountTarget } from './mount-target.ts';
import { mountOverlay } from './overlay.ts';
import { explainNoSpace } from './space.ts';
import type { Step } from './steps.ts';

const DIRECTORY_MODE = 0o755;

export interface CombinedLayers {
  /** For error texts; may be empty. */
  containerId: string;
  rootPath: string;
  /** Topmost first. */
  layers: readonly string[];
  /** Holds `upper` and `work`; empty: the root is read-only. */
  scratchPath: string;
}

/** The layers of a container and its scratch space as one root directory (overlayfs). */
export function combineLayers(request: CombinedLayers, directories: Directories): MountPlan {
  const path = hostPath(request.rootPath, 'ContainerRootPath');
  const layers = checkLayers(request.layers);
  const scratch =
    request.scratchPath === '' ? undefined : hostPath(request.scratchPath, 'ScratchPath');
  const target = new MountTarget(path, 'ContainerRootPath', directories);
  const state: { layers: Fd[]; upper?: Fd; work?: Fd } = { layers: [] };
  const steps: Step[] = [
    {
      name: 'open the layers',
      run: (scope) => {
        for (const [index, layer] of layers.entries()) {
          state.layers.push(scope.use(openHostDirectory(layer, `Layers[${index}].Path`)));
        }
      },
    },
  ];
  if (scratch !== undefined) {
    if (isAtOrBelow(scratch, path)) {
      throw badValue('ScratchPath', scratch, 'must not lie below ContainerRootPath');
    }
    steps.push(
      scratchStep(`${scratch}/upper`, directories, (fd) => {
        state.upper = fd;
      }),
      scratchStep(`${scratch}/work`, directories, (fd) => {
        state.work = fd;
      }),
    );
  }
  steps.push(
    target.makeStep(DIRECTORY_MODE),
    target.mountStep('mount the overlay', async (scope) => {
      const { upper, work } = state;
      const [only, second] = state.layers;
      try {
        // Without an upper directory overlayfs wants two layers.
        if (upper === undefined && only !== undefined && second === undefined) {
          target.attach(scope.use(attachableReadOnlyBind(only)));
        } else {
          const writable = upper === undefined || work === undefined ? undefined : { upper, work };
          await mountOverlay(target, state.layers, writable, scope);
        }
      } catch (error) {
        throw overlayFailure(explainNoSpace(error, scratch ?? path), path);
      }
    }),
  );
  return {
    path,
    title: request.containerId === '' ? 'combined layers' : `layers of ${request.containerId}`,
    needs: scratch === undefined ? layers : [...layers, scratch],
    steps,
  };
}

function checkLayers(layers: readonly string[]): string[] {
  if (layers.length === 0) {
    throw new AgentError('invalid-argument', 'Layers: missing', { field: 'Layers' });
  }
  if (layers.length > storageLimits.layers) {
    throw new AgentError(
      'invalid-argument',
      `Layers: ${layers.length} are more than ${storageLimits.layers}`,
      { field: 'Layers' },
    );
  }
  return layers.map((layer, index) => hostPath(layer, `Layers[${index}].Path`));
}

/** Of a directory that was there before nothing is removed; neither is what a container wrote. */
function scratchStep(path: string, directories: Directories, keep: (fd: Fd) => void): Step {
  let made = false;
  let missing: readonly string[] | undefined;
  return {
    name: `make the directory ${path}`,
    run: (scope) => {
      made = !directories.exists(path);
      keep(scope.use(directories.make(path, 'ScratchPath', DIRECTORY_MODE)));
    },
    undo: () => {
      // overlayfs leaves an empty directory of its own in the work directory.
      if (made && path.endsWith('/work')) removeTree(path);
      directories.remove(path);
    },
    memory: () => {
      missing ??= directories.missing(path);
      return { missing };
    },
    recall: (memory) => {
      const known = memory as { missing: string[] };
      directories.adopt(known.missing);
      made = known.missing.includes(path);
    },
  };
}

function overlayFailure(error: unknown, path: string): AgentError {
  if (error instanceof AgentError) return error;
  const { message, errno } = AgentError.from(error);
  const hint =
    errno === 'ELOOP' ? ' (the same directory occurs twice, or one lies in another)' : '';
  return new AgentError('failed', `mounting the layers at ${path}: ${message}${hint}`, {
    ...(errno === undefined ? {} : { errno }),
    cause: error,
  });
}
