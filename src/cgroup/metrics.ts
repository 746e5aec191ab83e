/** cgroup v1 shaped figures, in containerd's metrics message. The real type comes from the generated protobuf code. */
export type Metrics = Record<string, unknown>;
