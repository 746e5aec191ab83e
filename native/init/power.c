// The way down: every process is told, then killed; then sync, unmount, reboot(2). What could hang
// (a sync or an unmount on a device that does not answer) is done by a child with a deadline.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

enum { TERM_MS = 3000, KILL_MS = 2000, UNMOUNT_MS = 15000, LOG_MS = 1000, TABLE_BYTES = 256 * 1024 };

enum ending ending = RUNNING;

static char table[TABLE_BYTES]; // of mountinfo; costs nothing before it is used
static size_t busy_count;

void power_request(enum ending how) { ending = how; }

static void signal_all(int number, int wait_ms) {
  int64_t deadline = clock_now() + wait_ms;
  if (kill(-1, number) < 0 && errno != ESRCH) log_failure("signal %d to all", number);
  // A stopped process acts on SIGTERM when it goes on.
  if (number == SIGTERM) kill(-1, SIGCONT);
  while (!reap_no_children() && clock_now() < deadline) loop_once(deadline);
}

// \040 and its like.
static void decode(char *path) {
  char *out = path;
  for (char *in = path; *in != '\0';) {
    if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] != '\0' && in[3] != '\0') {
      *out++ = (char)(((in[1] - '0') << 6) | ((in[2] - '0') << 3) | (in[3] - '0'));
      in += 4;
    } else {
      *out++ = *in++;
    }
  }
  *out = '\0';
}

// Those of the kernel alone: nothing is lost with them, and we need some to the end.
static bool is_kernels(const char *type) {
  static const char *const types[] = {"proc",       "sysfs",   "devtmpfs", "devpts", "cgroup",     "cgroup2",
                                      "mqueue",     "debugfs", "tracefs",  "bpf",    "securityfs", "pstore",
                                      "configfs",   "rootfs",  "ramfs"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(type, types[i]) == 0) return true;
  return false;
}

static void unmount_forced(const char *path) {
  log_failure("unmount %s", path);
  if (mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) log_failure("remount %s read-only", path);
  if (umount2(path, MNT_DETACH) < 0)
    log_failure("detach %s", path);
  else
    log_say("%s was busy: detached", path);
}

// True when the mount is gone.
static bool unmount_line(char *line, bool forced) {
  // proc_pid_mountinfo(5): the mount point is the fifth field, the type follows " - ".
  char *separator = strstr(line, " - ");
  if (separator == NULL) return false;
  char *type = separator + 3;
  type[strcspn(type, " ")] = '\0';
  char *path = line;
  for (int field = 1; field < 5 && path != NULL; field++) {
    path = strchr(path, ' ');
    if (path != NULL) path++;
  }
  if (path == NULL) return false;
  path[strcspn(path, " ")] = '\0';
  decode(path);
  // The console is below /dev, and what is mounted there holds nothing that lasts.
  if (is_kernels(type) || strcmp(path, "/") == 0 || strcmp(path, "/dev") == 0) return false;
  if (text_starts(path, "/dev/")) return false;
  if (umount2(path, UMOUNT_NOFOLLOW) == 0) return true;
  if (forced)
    unmount_forced(path);
  else
    busy_count++;
  return false;
}

// Keeps the end of a table that is too long: the last mounts go first.
static size_t read_mounts(void) {
  int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  if (fd < 0) {
    log_failure("read the mounts");
    return 0;
  }
  for (ssize_t count; (count = read(fd, table + length, sizeof table - 1 - length)) > 0;) {
    length += (size_t)count;
    if (length < sizeof table - 1) continue;
    length = sizeof table / 2;
    memmove(table, table + sizeof table - 1 - length, length);
  }
  close(fd);
  table[length] = '\0';
  return length;
}

// From the last line to the first. How many were unmounted.
static size_t unmount_pass(bool forced) {
  size_t gone = 0;
  size_t length = read_mounts();
  busy_count = 0;
  while (length > 0) {
    if (table[length - 1] == '\n') table[--length] = '\0';
    while (length > 0 && table[length - 1] != '\n') length--;
    if (unmount_line(table + length, forced)) gone++;
  }
  return gone;
}

static _Noreturn void unmount_all(void) {
  log_to(agent_log_fd() >= 0 ? agent_log_fd() : console.fd);
  if (chdir("/") < 0) log_failure("chdir /");
  sync();
  // A mount that was busy for another one below it is free in the next pass.
  while (unmount_pass(false) > 0 && busy_count > 0) continue;
  if (busy_count > 0) unmount_pass(true);
  if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) log_failure("remount / read-only");
  sync();
  _exit(0);
}

static void run_unmount(void) {
  int64_t deadline = clock_now() + UNMOUNT_MS;
  helper = fork();
  if (helper == 0) unmount_all();
  if (helper < 0) {
    log_failure("fork for unmount");
    helper = 0;
    sync();
    return;
  }
  while (helper != 0 && clock_now() < deadline) loop_once(deadline);
  if (helper != 0) log_say("unmount takes too long, going down without");
}

static void drain_log(void) {
  int64_t deadline = clock_now() + LOG_MS;
  for (int i = 0; i < 2; i++)
    if (agent_pipes[i] >= 0) agent_forward(i);
  while (clock_now() < deadline) {
    // A port that is not there will not come back for this.
    bool waiting = !sink_empty(&console) && console.fd >= 0;
    for (int i = 0; i < 2; i++) waiting |= ports[i].port != 0 && ports[i].fd >= 0 && !sink_empty(&ports[i]);
    if (!waiting) return;
    loop_once(deadline);
  }
}

void power_down(void) {
  bool reset = ending == REBOOT || options.poweroff_by_reset;
  log_say("going down: %s", ending == REBOOT ? "reboot" : "power off");
  signal_all(SIGTERM, TERM_MS);
  if (!reap_no_children()) signal_all(SIGKILL, KILL_MS);
  if (!reap_no_children()) log_say("processes are left that cannot be killed");
  reap_finish();
  // What it leads to may keep a file system busy.
  store_clear();
  run_unmount();
  log_say("down");
  drain_log();
  reboot(reset ? RB_AUTOBOOT : RB_POWER_OFF);
  log_failure("reboot(2)");
  drain_log();
  _exit(ending == REBOOT ? EXIT_REBOOT : EXIT_POWER_OFF);
}
