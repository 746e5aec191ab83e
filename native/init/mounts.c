// The guest's file systems. A target that is a mount point already is left as it is: the kernel may
// have mounted /dev itself, and the stage in the initramfs hands on what it has mounted.
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <stdio.h>
#include <unistd.h>

#include "init.h"

struct entry {
  const char *type, *target, *data;
  unsigned long flags;
};

static const struct entry early[] = {
    {"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
};

// Containers' bundles are below /run, and their root file systems may be below either: programs run
// there, set-user-id ones too.
static const struct entry late[] = {
    {"devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"mqueue", "/dev/mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"tmpfs", "/run", "mode=0755", MS_NODEV},
    {"tmpfs", "/tmp", "mode=1777", MS_NODEV},
};

static const char *const links[][2] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
    {"pts/ptmx", "/dev/ptmx"},
};

bool is_mount_point(const char *path) {
  char parent[256];
  struct stat here, above;
  snprintf(parent, sizeof parent, "%s/..", path);
  return stat(path, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

static void make_directory(const char *path, mode_t mode) {
  if (mkdir(path, mode) < 0 && errno != EEXIST) log_failure("mkdir %s", path);
}

static void mount_entry(const struct entry *entry) {
  struct stat there;
  if (is_mount_point(entry->target)) return;
  if (stat(entry->target, &there) < 0) make_directory(entry->target, 0755);
  if (mount(entry->type, entry->target, entry->type, entry->flags, entry->data) < 0 && errno != EBUSY)
    log_failure("mount %s on %s", entry->type, entry->target);
}

void mounts_early(void) {
  for (size_t i = 0; i < sizeof early / sizeof *early; i++) mount_entry(&early[i]);
}

// The directory's content stays visible, changes go to a tmpfs.
static void overlay(const char *path) {
  char upper[64], work[64], data[256];
  snprintf(upper, sizeof upper, "/run/over%s/upper", path);
  snprintf(work, sizeof work, "/run/over%s/work", path);
  snprintf(data, sizeof data, "/run/over%s", path);
  make_directory(data, 0755);
  make_directory(upper, 0755);
  make_directory(work, 0755);
  snprintf(data, sizeof data, "lowerdir=%s,upperdir=%s,workdir=%s", path, upper, work);
  if (mount("overlay", path, "overlay", MS_NODEV, data) < 0) log_failure("mount overlay on %s", path);
}

static void writable_overlays(void) {
  static const struct entry upper = {"tmpfs", "/run/over", "size=40%,mode=0755", MS_NODEV};
  mount_entry(&upper);
  // Without the tmpfs the changes would fill /run.
  if (!is_mount_point(upper.target)) return;
  overlay("/etc");
  overlay("/var");
}

void mounts_late(void) {
  for (size_t i = 0; i < sizeof late / sizeof *late; i++) mount_entry(&late[i]);
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
    if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
      log_failure("symlink %s", links[i][1]);
  }
  if (options.writable_overlays) writable_overlays();
}
