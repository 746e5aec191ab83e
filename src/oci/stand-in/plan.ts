import type { OciProcess } from '../../spec/oci.ts';

/** What a stand-in is to do; it gets this from the command that starts it. */
export type StandInPlan = {
  /** PATH of the agent. */
  readonly agent: string;
  readonly containerId: string;
  /** Its descriptors 0 to 2 are a pseudo-terminal. */
  readonly terminal: boolean;
} & (
  | {
      readonly kind: 'init';
      readonly bundle: string;
      readonly systemdCgroup: boolean;
      readonly pivot: boolean;
      readonly controlSocket: string;
    }
  | { readonly kind: 'exec'; readonly process: OciProcess }
);

/** How its beginning went: the process is made, or why it is not. */
export type StandInReport = { readonly made: true } | { readonly error: string };

/** What `start` asks the stand-in of an init process, and its answer. */
export interface ControlRequest {
  readonly request: 'start';
}
export type ControlReply = { readonly done: true } | { readonly error: string };
