import type { Integer } from '../spec/oci.ts';

/**
 * The cgroup figures hosts read, in containerd's cgroup v1 names. A figure that is zero is left
 * out; the guest may send more fields than these. Times in nanoseconds, sizes in bytes.
 */
export interface GuestStatistics {
  readonly pids?: { readonly current?: Integer; readonly limit?: Integer };
  readonly cpu?: {
    readonly usage?: {
      readonly total?: Integer;
      readonly kernel?: Integer;
      readonly user?: Integer;
      readonly per_cpu?: readonly Integer[];
    };
    readonly throttling?: {
      readonly periods?: Integer;
      readonly throttled_periods?: Integer;
      readonly throttled_time?: Integer;
    };
  };
  readonly memory?: {
    readonly rss?: Integer;
    readonly cache?: Integer;
    readonly usage?: MemoryUsage;
    readonly swap?: MemoryUsage;
    readonly kernel?: MemoryUsage;
    readonly [field: string]: unknown;
  };
  readonly [controller: string]: unknown;
}

export interface MemoryUsage {
  readonly limit?: Integer;
  readonly usage?: Integer;
  readonly max?: Integer;
  readonly failcnt?: Integer;
}
