// From the initramfs to the root file system: wait for its device, mount it read-only, give the
// initramfs' memory back, and go on as /sbin/init there. Whatever fails leaves us in the initramfs,
// which then is the root.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "init.h"

extern char **environ;

#define NEW "/newroot"
#define SWITCHED "GCS_INIT_ROOT"
enum { DEVICE_MS = 10000, DEPTH_MAX = 32, RAMFS = 0x858458f6, TMPFS = 0x01021994 };

struct kernel_address { // linux/netlink.h: sockaddr_nl
  sa_family_t family;
  unsigned short pad;
  uint32_t pid, groups;
};
enum { KOBJECT_UEVENT = 15 };

// The kernel tells of every device it adds.
static int listen_for_devices(void) {
  struct kernel_address address = {.family = AF_NETLINK, .groups = 1};
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, KOBJECT_UEVENT);
  if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  log_failure("listen for devices");
  if (fd >= 0) close(fd);
  return -1;
}

static bool mount_as(const char *type) {
  return mount(options.root_device, NEW, type, MS_RDONLY, NULL) == 0;
}

// Every file system of the kernel's list that lives on a device.
static bool mount_as_any(void) {
  char list[2048], *rest;
  if (text_read_file("/proc/filesystems", list, sizeof list) < 0) return false;
  int error = ENODEV;
  for (char *line = strtok_r(list, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    if (line[0] != '\t') continue;
    if (mount_as(line + 1)) return true;
    // EINVAL: not this one. Anything else says more about the device.
    if (errno != EINVAL || error == ENODEV) error = errno;
  }
  errno = error;
  return false;
}

static bool mount_root(void) {
  if (is_mount_point(NEW)) return true;
  return options.root_type[0] == '\0' ? mount_as_any() : mount_as(options.root_type);
}

static bool no_device_yet(int error) { return error == ENOENT || error == ENXIO; }

// Tries now and whenever the kernel has added something, until the deadline.
static bool wait_for_root(void) {
  int events = listen_for_devices();
  int64_t deadline = clock_now() + DEVICE_MS;
  bool mounted = mount_root();
  while (!mounted && no_device_yet(errno) && events >= 0) {
    int error = errno;
    struct pollfd want = {.fd = events, .events = POLLIN};
    int64_t left = deadline - clock_now();
    if (left <= 0 || poll(&want, 1, (int)left) <= 0) {
      errno = error;
      break;
    }
    char message[2048];
    while (recv(events, message, sizeof message, 0) > 0) continue;
    mounted = mount_root();
  }
  int error = errno;
  if (events >= 0) close(events);
  errno = error;
  return mounted;
}

// Removes what is on the device `device` below the directory `fd`, which is closed. getdents64 by
// hand: opendir would allocate.
static void remove_below(int fd, dev_t device, int depth) {
  struct {
    uint64_t ino, off;
    unsigned short length;
    unsigned char type;
    char name[256];
  } *entry;
  _Alignas(8) char buffer[1024];
  bool removed = true;
  while (removed) {
    // A directory that changes while it is read is read again from the start.
    removed = false;
    lseek(fd, 0, SEEK_SET);
    for (long count; (count = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0;) {
      for (long i = 0; i < count; i += entry->length) {
        struct stat info;
        entry = (void *)(buffer + i);
        if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
        if (fstatat(fd, entry->name, &info, AT_SYMLINK_NOFOLLOW) < 0 || info.st_dev != device) continue;
        bool directory = S_ISDIR(info.st_mode);
        if (directory && depth < DEPTH_MAX) {
          int below = openat(fd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
          if (below >= 0) remove_below(below, device, depth + 1);
        }
        if (unlinkat(fd, entry->name, directory ? AT_REMOVEDIR : 0) == 0) removed = true;
      }
    }
  }
  close(fd);
}

static void free_initramfs(void) {
  struct statfs kind;
  struct stat info;
  // Nothing but memory is ever emptied.
  if (statfs("/", &kind) < 0 || (kind.f_type != RAMFS && kind.f_type != TMPFS)) return;
  int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) < 0) {
    log_failure("free the initramfs");
    if (fd >= 0) close(fd);
    return;
  }
  remove_below(fd, info.st_dev, 0);
}

static void move(const char *from) {
  char to[64];
  snprintf(to, sizeof to, NEW "%s", from);
  if (is_mount_point(from) && mount(from, to, NULL, MS_MOVE, NULL) < 0) log_failure("move %s", from);
}

// The next stage must not switch again, whatever its root is.
static void go_on(char **arguments) {
  static char *environment[64] = {SWITCHED "=1"};
  size_t count = 1;
  for (char **entry = environ; *entry != NULL && count < 63; entry++) environment[count++] = *entry;
  execve("/sbin/init", arguments, environment);
}

void root_switch(char **arguments) {
  if (options.root_device[0] == '\0' || getenv(SWITCHED) != NULL) return;
  if (mkdir(NEW, 0755) < 0 && errno != EEXIST) log_failure("mkdir %s", NEW);
  if (!wait_for_root()) {
    log_failure("mount root %s", options.root_device);
    return;
  }
  if (access(NEW "/sbin/init", X_OK) < 0) {
    log_failure("root %s: /sbin/init", options.root_device);
    return;
  }
  log_say("root is %s", options.root_device);
  move("/dev");
  move("/proc");
  move("/sys");
  if (chdir(NEW) < 0) {
    log_failure("chdir %s", NEW);
    return;
  }
  free_initramfs();
  if (mount(".", "/", NULL, MS_MOVE, NULL) < 0) log_failure("move root");
  if (chroot(".") < 0 || chdir("/") < 0) log_failure("chroot");
  go_on(arguments);
  log_failure("exec /sbin/init of %s", options.root_device);
}
