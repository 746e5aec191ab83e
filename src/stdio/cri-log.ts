/** The log of one process in the format of the Kubernetes container runtime interface. */
export interface CriLog {
  readonly path: string;
}
