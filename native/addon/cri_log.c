#include "cri_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// Content of one entry. As conmon's; readers are known to take four times as much.
#define CONTENT_MAX 8192
// "2026-01-31T12:00:00.123456789Z stdout F "
#define SECONDS_SIZE 20
#define PREFIX_SIZE 40
#define ENTRY_MAX (PREFIX_SIZE + CONTENT_MAX + 1)
#define BATCH_SIZE (32u << 10)

struct cri_log {
  pthread_mutex_t mutex;
  _Atomic unsigned references;
  int directory;
  int fd;
  mode_t mode;
  uint64_t max_bytes;
  uint32_t max_files;
  uint64_t size;
  bool torn;  // the file ends within an entry that could not be cut off
  struct cri_log_counts counts;
  time_t second;  // that `seconds` tells
  char seconds[SECONDS_SIZE];
  size_t used;
  char batch[BATCH_SIZE];
  char name[];
};

// ---- files ------------------------------------------------------------------------------------

// Cuts off what a killed writer has left of an entry: those bytes were never taken from the stream,
// and come again.
static int mend(int fd, off_t size) {
  char tail[ENTRY_MAX];
  const size_t wanted = size < (off_t)sizeof tail ? (size_t)size : sizeof tail;
  ssize_t n = pread(fd, tail, wanted, size - (off_t)wanted);
  if (n < 0) return errno;
  if (n == 0 || tail[n - 1] == '\n') return 0;
  const char *last = memrchr(tail, '\n', (size_t)n);
  // Longer than any entry of ours and without an end: not ours to cut.
  if (last == NULL && wanted < (size_t)size) return write(fd, "\n", 1) < 0 ? errno : 0;
  const off_t whole = last == NULL ? 0 : size - n + (last + 1 - tail);
  return ftruncate(fd, whole) < 0 ? errno : 0;
}

// No link is followed and a fifo does not hold anybody up: who writes to the directory is not trusted.
static int open_log_file(const struct cri_log *log, const char *name, int flags) {
  return openat(log->directory, name,
                O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags,
                log->mode);
}

static int use_file(struct cri_log *log, int fd) {
  struct stat info;
  int error = fstat(fd, &info) < 0 ? errno : S_ISREG(info.st_mode) ? 0 : ENODEV;
  if (error == 0) error = mend(fd, info.st_size);
  const off_t size = error == 0 ? lseek(fd, 0, SEEK_END) : 0;
  if (size < 0) error = errno;
  if (error != 0) {
    close(fd);
    return error;
  }
  if (log->fd >= 0) close(log->fd);
  log->fd = fd;
  log->size = (uint64_t)size;
  log->torn = false;
  return 0;
}

static int begin_file(struct cri_log *log) {
  int fd = open_log_file(log, log->name, 0);
  return fd < 0 ? errno : use_file(log, fd);
}

static int move_file(const struct cri_log *log, const char *from, const char *to) {
  return renameat(log->directory, from, log->directory, to) < 0 && errno != ENOENT ? errno : 0;
}

// name.3 becomes name.4, ... name becomes name.1; the last one is removed by the one before it.
static int move_away(const struct cri_log *log) {
  char from[NAME_MAX + 1], to[NAME_MAX + 1];
  uint32_t free = 1;
  for (; free < log->max_files - 1; free++) {
    snprintf(to, sizeof to, "%s.%u", log->name, free);
    if (faccessat(log->directory, to, F_OK, AT_SYMLINK_NOFOLLOW) < 0) break;
  }
  for (uint32_t i = log->max_files > 1 ? free : 0; i > 0; i--) {
    snprintf(to, sizeof to, "%s.%u", log->name, i);
    if (i > 1)
      snprintf(from, sizeof from, "%s.%u", log->name, i - 1);
    else
      snprintf(from, sizeof from, "%s", log->name);
    int error = move_file(log, from, to);
    if (error != 0) return error;
  }
  return 0;
}

// The new file is there before the old one is moved: with a full disk the old one goes on.
static int rotate(struct cri_log *log) {
  char fresh[NAME_MAX + 1];
  snprintf(fresh, sizeof fresh, "%s.new", log->name);
  unlinkat(log->directory, fresh, 0);
  int fd = open_log_file(log, fresh, O_EXCL);
  if (fd < 0) return errno;
  int error = move_away(log);
  if (error == 0) error = move_file(log, fresh, log->name);
  if (error != 0) {
    unlinkat(log->directory, fresh, 0);
    close(fd);
    return error;
  }
  log->counts.rotations++;
  return use_file(log, fd);
}

// ---- entries ----------------------------------------------------------------------------------

static uint64_t count_entries(const char *data, size_t length) {
  uint64_t entries = 0;
  for (const char *end = data + length; (data = memchr(data, '\n', (size_t)(end - data))) != NULL;
       data++)
    entries++;
  return entries;
}

static int write_all(int fd, const char *data, size_t length, size_t *done) {
  while (*done < length) {
    ssize_t n = write(fd, data + *done, length - *done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    *done += (size_t)n;
  }
  return 0;
}

// After a write that failed half way: what is there of the last entry goes.
static size_t cut_torn(struct cri_log *log, size_t done) {
  const char *last = memrchr(log->batch, '\n', done);
  const size_t whole = last == NULL ? 0 : (size_t)(last + 1 - log->batch);
  // Appending has moved the position to the end, also of a file that somebody has truncated.
  const off_t end = lseek(log->fd, 0, SEEK_CUR);
  if (whole < done)
    log->torn = end < 0 || ftruncate(log->fd, end - (off_t)(done - whole)) < 0;
  return whole;
}

static int flush(struct cri_log *log) {
  size_t done = 0, whole = log->used;
  int error = 0;
  if (log->used == 0) return 0;
  if (log->torn) {
    size_t newline = 0;
    error = write_all(log->fd, "\n", 1, &newline);
    log->torn = error != 0;
  }
  if (error == 0) error = write_all(log->fd, log->batch, log->used, &done);
  if (error != 0) whole = cut_torn(log, done);
  log->counts.entries += count_entries(log->batch, whole);
  log->counts.lost += count_entries(log->batch + whole, log->used - whole);
  const off_t end = lseek(log->fd, 0, SEEK_CUR);
  log->size = end < 0 ? log->size + whole : (uint64_t)end;
  log->used = 0;
  return error;
}

// RFC 3339 in UTC with nine digits, which is what Go's RFC3339Nano parses.
static void stamp(struct cri_log *log, char *out) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  if (time.tv_sec != log->second) {
    struct tm parts;
    gmtime_r(&time.tv_sec, &parts);
    strftime(log->seconds, sizeof log->seconds, "%Y-%m-%dT%H:%M:%S", &parts);
    log->second = time.tv_sec;
  }
  snprintf(out, PREFIX_SIZE, "%s.%09ldZ ", log->seconds, time.tv_nsec);
}

static int make_room(struct cri_log *log, size_t entry) {
  const uint64_t size = log->size + log->used;
  if (log->max_bytes > 0 && size > 0 && size + entry > log->max_bytes) {
    const int error = flush(log);
    const int rotation = log->size > 0 ? rotate(log) : 0;
    return error != 0 ? error : rotation;
  }
  return log->used + entry > BATCH_SIZE ? flush(log) : 0;
}

static int write_entries(struct cri_log *log, enum cri_log_stream stream, const char *data,
                         size_t length) {
  char prefix[PREFIX_SIZE];
  int first = 0;
  stamp(log, prefix);
  memcpy(prefix + PREFIX_SIZE - 9, stream == CRI_LOG_STDERR ? "stderr F " : "stdout F ", 9);
  while (length > 0) {
    const char *line = memchr(data, '\n', length < CONTENT_MAX + 1 ? length : CONTENT_MAX + 1);
    const size_t content = line != NULL          ? (size_t)(line - data)
                           : length < CONTENT_MAX ? length
                                                  : CONTENT_MAX;
    const int error = make_room(log, PREFIX_SIZE + content + 1);
    if (first == 0) first = error;
    prefix[PREFIX_SIZE - 2] = line != NULL ? 'F' : 'P';
    memcpy(log->batch + log->used, prefix, PREFIX_SIZE);
    memcpy(log->batch + log->used + PREFIX_SIZE, data, content);
    log->used += PREFIX_SIZE + content;
    log->batch[log->used++] = '\n';
    data += content + (line != NULL);
    length -= content + (line != NULL);
  }
  const int error = flush(log);
  return first != 0 ? first : error;
}

// ---- the handle -------------------------------------------------------------------------------

int cri_log_open(const struct cri_log_options *options, struct cri_log **out) {
  const size_t length = strlen(options->name);
  // Room for ".4294967295".
  if (length + 11 > NAME_MAX) return ENAMETOOLONG;
  struct cri_log *log = calloc(1, sizeof *log + length + 1);
  if (log == NULL) return ENOMEM;
  memcpy(log->name, options->name, length);
  log->references = 1;
  log->fd = -1;
  log->mode = options->mode;
  log->max_bytes = options->max_bytes;
  log->max_files = options->max_files;
  log->second = -1;
  pthread_mutex_init(&log->mutex, NULL);
  log->directory = fcntl(options->directory, F_DUPFD_CLOEXEC, 3);
  const int error = log->directory < 0 ? errno : begin_file(log);
  if (error != 0)
    cri_log_release(log);
  else
    *out = log;
  return error;
}

struct cri_log *cri_log_share(struct cri_log *log) {
  atomic_fetch_add(&log->references, 1);
  return log;
}

void cri_log_release(struct cri_log *log) {
  if (atomic_fetch_sub(&log->references, 1) != 1) return;
  if (log->fd >= 0) close(log->fd);
  if (log->directory >= 0) close(log->directory);
  pthread_mutex_destroy(&log->mutex);
  free(log);
}

int cri_log_write(struct cri_log *log, enum cri_log_stream stream, const char *data,
                  size_t length) {
  pthread_mutex_lock(&log->mutex);
  const int error = write_entries(log, stream, data, length);
  if (error != 0) log->counts.error = error;
  pthread_mutex_unlock(&log->mutex);
  return error;
}

int cri_log_reopen(struct cri_log *log) {
  pthread_mutex_lock(&log->mutex);
  const int error = begin_file(log);
  pthread_mutex_unlock(&log->mutex);
  return error;
}

struct cri_log_counts cri_log_count(struct cri_log *log) {
  pthread_mutex_lock(&log->mutex);
  const struct cri_log_counts counts = log->counts;
  pthread_mutex_unlock(&log->mutex);
  return counts;
}
