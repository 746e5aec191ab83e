import { readFileIfPresent } from '../cgroup/files.ts';
import { cgroupMounts } from '../cgroup/hierarchy.ts';

/** Which cgroups this machine has controllers in; hybrid: in both. */
export function cgroupVersion(): 'v1' | 'v2' | 'hybrid' | 'none' {
  const mounts = cgroupMounts();
  const legacy = mounts.some(
    ({ version, options }) =>
      version === 1 && !options.some((option) => option.startsWith('name=')),
  );
  const unified = mounts.some(
    ({ version, mountPoint }) =>
      version === 2 && (readFileIfPresent(`${mountPoint}/cgroup.controllers`) ?? '').trim() !== '',
  );
  if (legacy && unified) return 'hybrid';
  if (legacy) return 'v1';
  return unified ? 'v2' : 'none';
}
