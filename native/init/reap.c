// Every child's end. Orphans of the agent and of containers come to PID 1; what became of them is
// kept as a file exits/<pid>.<start time> of /run/gcs with "<CLD code> <status> <CLOCK_REALTIME ns>",
// for an agent that was not there to see it. The start time is field 22 of /proc/PID/stat, which
// makes the name unique where pids come again.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { RECORDS_MAX = 4096, AT_ONCE = 64 };

struct record {
  pid_t pid;
  unsigned long long start;
};

pid_t helper;

static int directory = -1;
static struct record records[RECORDS_MAX]; // ring
static size_t next_record, record_count;
static int last_error; // of writing a record, so that a full disk is said once

static void remember(struct record record) {
  records[next_record] = record;
  next_record = (next_record + 1) % RECORDS_MAX;
  if (record_count < RECORDS_MAX) record_count++;
}

static void forget_oldest(void) {
  char name[48];
  const struct record *oldest = &records[next_record];
  snprintf(name, sizeof name, "%d.%llu", (int)oldest->pid, oldest->start);
  // ENOENT: the agent has taken it.
  if (unlinkat(directory, name, 0) < 0 && errno != ENOENT) log_failure("remove exit record %s", name);
}

// Records of a supervisor before us count too, so that they are bounded.
static void take_over_records(void) {
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd < 0 ? NULL : fdopendir(fd);
  if (list == NULL) {
    log_failure("read the exit records");
    if (fd >= 0) close(fd);
    return;
  }
  for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
    char *end;
    unsigned long pid = strtoul(entry->d_name, &end, 10);
    if (pid == 0 || *end != '.') continue;
    if (record_count == RECORDS_MAX) forget_oldest();
    remember((struct record){.pid = (pid_t)pid, .start = strtoull(end + 1, NULL, 10)});
  }
  closedir(list);
}

bool reap_prepare(void) {
  char exits[272];
  snprintf(exits, sizeof exits, "%s/exits", options.run);
  if (mkdir(options.run, 0755) < 0 && errno != EEXIST) log_failure("mkdir %s", options.run);
  if (mkdir(exits, 0700) < 0 && errno != EEXIST) log_failure("mkdir %s", exits);
  directory = open(exits, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) {
    log_failure("open %s: no exit records", exits);
    return false;
  }
  if (options.supervise && flock(directory, LOCK_EX | LOCK_NB) < 0) {
    log_failure("%s is another supervisor's", options.run);
    return false;
  }
  take_over_records();
  return true;
}

void reap_finish(void) {
  if (directory >= 0) close(directory);
  directory = -1;
}

// 0 when it is not to be had.
static unsigned long long start_time(pid_t pid) {
  char path[32], stat[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  if (text_read_file(path, stat, sizeof stat) < 0) return 0;
  // The second field is the program's name, which may hold spaces and parentheses.
  char *field = strrchr(stat, ')');
  for (int number = 2; field != NULL && number < 22; number++) {
    field = strchr(field, ' ');
    if (field != NULL) field++;
  }
  unsigned long long value = 0;
  for (; field != NULL && *field >= '0' && *field <= '9'; field++)
    value = value * 10 + (unsigned long long)(*field - '0');
  return value;
}

static bool write_record(const char *name, const siginfo_t *info) {
  struct timespec now;
  char text[64];
  clock_gettime(CLOCK_REALTIME, &now);
  int length = snprintf(text, sizeof text, "%d %d %lld\n", info->si_code, info->si_status,
                        (long long)now.tv_sec * 1000000000 + now.tv_nsec);
  // Renamed when whole: nobody reads half a record.
  int fd = openat(directory, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  ssize_t count = write(fd, text, (size_t)length);
  if (count >= 0 && count < length) errno = ENOSPC;
  int error = errno;
  close(fd);
  errno = error;
  return count == length && renameat(directory, ".new", directory, name) == 0;
}

static void keep_record(const siginfo_t *info) {
  char name[48];
  if (directory < 0) return;
  struct record record = {.pid = info->si_pid, .start = start_time(info->si_pid)};
  snprintf(name, sizeof name, "%d.%llu", (int)record.pid, record.start);
  if (record_count == RECORDS_MAX) forget_oldest();
  if (!write_record(name, info)) {
    if (errno != last_error) log_failure("write exit record %s", name);
    last_error = errno;
    return;
  }
  last_error = 0;
  remember(record);
}

// False when there was none.
static bool reap_one(void) {
  siginfo_t info = {.si_pid = 0};
  // Looked at before it is collected: /proc knows it until then.
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 || info.si_pid == 0) return false;
  bool own = info.si_pid == agent.pid || info.si_pid == shell.pid || info.si_pid == helper;
  if (!own) keep_record(&info);
  siginfo_t collected;
  if (waitid(P_PID, (id_t)info.si_pid, &collected, WEXITED | WNOHANG | __WALL) < 0)
    log_failure("collect %d", (int)info.si_pid);
  if (info.si_pid == helper)
    helper = 0;
  else
    agent_ended(info.si_pid, info.si_code, info.si_status);
  return true;
}

bool reap_some(void) {
  for (int i = 0; i < AT_ONCE; i++)
    if (!reap_one()) return false;
  return true;
}

bool reap_no_children(void) {
  siginfo_t info;
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
}
