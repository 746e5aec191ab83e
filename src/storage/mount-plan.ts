import type { Step } from './steps.ts';

/** One Add, checked and not yet begun. */
export interface MountPlan {
  /** Where it will be mounted, in normal form: the name of the resource from then on. */
  readonly path: string;
  /** For people: "the layers of container c1". */
  readonly title: string;
  /** Paths it stands on: whatever is mounted there, or above it, must stay. */
  readonly needs: readonly string[];
  /** The SCSI disk it occupies. */
  readonly disk?: { readonly controller: number; readonly lun: number };
  readonly steps: readonly Step[];
}
