#include "relay_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay_wait.h"

// One splice moves at most what the pipe holds; the number only has to be larger than that.
#define SPLICE_MAX (1u << 20)
#define BUFFER_SIZE (64u << 10)
// Reads of a pty return at most 4095 bytes. After a read of this size more is likely to follow, and
// one write of many reads wakes the host once instead of many times: so as long as the buffer is
// below the mark, the next read is waited for a moment.
#define LONG_READ 2048
#define BUFFER_MARK (BUFFER_SIZE - 8192)
// What a read of a pty returns at most; splice(2) takes a page for each it asks for.
#define TERMINAL_READ 4096

// ---- moving -----------------------------------------------------------------------------------

static void tell_tee_error(struct relay_pump *pump) {
  if (pump->tee_told) return;
  pump->tee_told = atomic_load(&pump->tee.file_error) != 0 || atomic_load(&pump->tee.log_error) != 0;
  if (pump->tee_told) pump->on_news(pump);
}

static void tee_write(struct relay_pump *pump, const char *data, size_t length) {
  const size_t there = pump->logged < length ? pump->logged : length;
  pump->logged -= there;
  if (there == length || !relay_tee_active(&pump->tee)) return;
  relay_tee_write(&pump->tee, data + there, length - there);
  tell_tee_error(pump);
}

// From a pipe to the destination, after the logs have it.
static ssize_t deliver(struct relay_pump *pump, int pipe, size_t length) {
  struct relay_tee *tee = &pump->tee;
  if (relay_tee_active(tee) && tee->ahead == 0) {
    ssize_t n = relay_tee_copy(tee, pipe, length, pump->buffer, BUFFER_SIZE);
    if (n <= 0) return n;
    tell_tee_error(pump);
  }
  if (tee->ahead > 0 && tee->ahead < length) length = tee->ahead;
  ssize_t n =
      splice(pipe, NULL, pump->destination, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n > 0 && tee->ahead > 0) tee->ahead -= (size_t)n;
  return n;
}

// ---- the three loops --------------------------------------------------------------------------

// False when splice cannot serve these descriptors and nothing has been moved.
static bool run_splice(struct relay_pump *pump) {
  while (relay_wait_for(pump, RELAY_SOURCE)) {
    ssize_t n = deliver(pump, pump->source, SPLICE_MAX);
    if (n > 0) {
      relay_count(pump, (size_t)n);
      relay_pace(pump, (size_t)n);
    } else if (n == 0) {
      relay_finish(pump, RELAY_EOF, 0);
      break;
    } else if (errno == EAGAIN) {
      // The source was ready, so it is the destination that is full.
      if (!relay_wait_for(pump, RELAY_DESTINATION)) break;
    } else if (errno == EINVAL && atomic_load(&pump->bytes) == 0) {
      return false;
    } else if (errno == EPIPE || (errno != EINTR && pump->source_is_pipe)) {
      // splice does not say which end failed. A pipe as source cannot fail.
      if (!relay_lose_destination(pump, errno)) break;
    } else if (errno != EINTR) {
      relay_finish_source(pump, errno);
      break;
    }
  }
  return true;
}

enum moved { MOVED, ENDED, UNSUPPORTED };

// Brings what is in `through` to the destination.
static enum moved empty_through(struct relay_pump *pump) {
  while (pump->held > 0) {
    ssize_t n = deliver(pump, pump->through[0], pump->held);
    if (n > 0) {
      pump->held -= (size_t)n;
      relay_count(pump, (size_t)n);
    } else if (n == 0 || errno == EAGAIN) {
      if (!relay_wait_for(pump, RELAY_DESTINATION)) return ENDED;
    } else if (errno == EINVAL && atomic_load(&pump->bytes) == 0) {
      return UNSUPPORTED;
    } else if (errno != EINTR) {
      if (!relay_lose_destination(pump, errno)) return ENDED;
    }
  }
  return MOVED;
}

// Fills `through` until it is nearly full or the source has no more. `*end` is set when it has
// ended; what came before is delivered first.
static enum moved fill_through(struct relay_pump *pump, bool *end, int *end_error) {
  const bool terminal = (pump->flags & RELAY_EIO_IS_EOF) != 0;
  for (;;) {
    ssize_t n = splice(pump->source, NULL, pump->through[1], NULL,
                       terminal ? TERMINAL_READ : SPLICE_MAX, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return MOVED;
    if (n < 0 && errno == EINVAL && atomic_load(&pump->bytes) == 0) return UNSUPPORTED;
    if (n <= 0) {
      *end = true;
      *end_error = n < 0 ? errno : 0;
      return MOVED;
    }
    pump->held += (size_t)n;
    if (n < LONG_READ || pump->held >= BUFFER_MARK || !relay_more_follows(pump)) return MOVED;
  }
}

static void finish_end(struct relay_pump *pump, int error) {
  if (error != 0)
    relay_finish_source(pump, error);
  else
    relay_finish(pump, RELAY_EOF, 0);
}

// False when splice cannot serve these descriptors; `through` may hold something then.
static bool run_through(struct relay_pump *pump) {
  bool end = false;
  int end_error = 0, held = 0;
  // Of one who was killed.
  if (ioctl(pump->through[0], FIONREAD, &held) == 0) pump->held = (size_t)held;
  for (;;) {
    const size_t moved = pump->held;
    const enum moved emptied = empty_through(pump);
    if (emptied != MOVED) return emptied == ENDED;
    if (end) break;
    if (moved > 0) relay_pace(pump, moved);
    if (!relay_wait_for(pump, RELAY_SOURCE)) return true;
    if (fill_through(pump, &end, &end_error) == UNSUPPORTED) return false;
  }
  finish_end(pump, end_error);
  return true;
}

// Reads until the buffer is nearly full or the source has no more. `*end` is set when it has ended;
// what was read before is delivered first.
static void fill(struct relay_pump *pump, bool *end, int *end_error) {
  pump->head = pump->tail = 0;
  do {
    ssize_t n;
    do {
      n = read(pump->source, pump->buffer + pump->tail, BUFFER_SIZE - pump->tail);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
      if (n < 0 && errno == EAGAIN) return;
      *end = true;
      *end_error = n < 0 ? errno : 0;
      return;
    }
    pump->tail += (size_t)n;
    if (n < LONG_READ) return;
  } while (pump->tail < BUFFER_MARK && relay_more_follows(pump));
}

static bool drain(struct relay_pump *pump) {
  tee_write(pump, pump->buffer + pump->head, pump->tail - pump->head);
  while (pump->head < pump->tail) {
    ssize_t n = write(pump->destination, pump->buffer + pump->head, pump->tail - pump->head);
    if (n > 0) {
      pump->head += (size_t)n;
      relay_count(pump, (size_t)n);
    } else if (n == 0 || errno == EAGAIN) {
      if (!relay_wait_for(pump, RELAY_DESTINATION)) return false;
    } else if (errno != EINTR) {
      if (!relay_lose_destination(pump, errno)) return false;
    }
  }
  return true;
}

// What `through` holds, where it can only be read. Its capacity is the buffer's size.
static bool drain_through(struct relay_pump *pump) {
  pump->head = pump->tail = 0;
  while (pump->held > 0) {
    ssize_t n = read(pump->through[0], pump->buffer + pump->tail,
                     pump->held < BUFFER_SIZE - pump->tail ? pump->held : BUFFER_SIZE - pump->tail);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return relay_finish(pump, RELAY_ERROR, n < 0 ? errno : EIO);
    pump->held -= (size_t)n;
    pump->tail += (size_t)n;
    if (!drain(pump)) return false;
    pump->head = pump->tail = 0;
  }
  return true;
}

static void run_copy(struct relay_pump *pump) {
  bool end = false;
  int end_error = 0;
  if (!drain_through(pump)) return;
  while (relay_wait_for(pump, RELAY_SOURCE)) {
    fill(pump, &end, &end_error);
    const size_t moved = pump->tail;
    if (!drain(pump)) return;
    if (moved > 0 && !end) relay_pace(pump, moved);
    if (end) {
      finish_end(pump, end_error);
      return;
    }
  }
}

// ---- set-up -----------------------------------------------------------------------------------

static bool is_pipe(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode);
}

// Mapped, not malloc'ed: a thread that calls malloc gets an arena of its own. Pages are touched
// only as far as reads fill them.
static bool map_buffer(struct relay_pump *pump) {
  if (pump->buffer != NULL) return true;
  void *memory =
      mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return relay_finish(pump, RELAY_ERROR, errno);
  pump->buffer = memory;
  return true;
}

static void run(struct relay_pump *pump) {
  const bool has_through = pump->through[0] >= 0;
  bool splices = has_through || (pump->flags & RELAY_SPLICE) != 0;
  if (splices && relay_tee_active(&pump->tee)) {
    if (!map_buffer(pump)) return;
    // tee(2) needs a pipe as its source; a socket is copied instead.
    splices = (has_through || pump->source_is_pipe) && relay_tee_open(&pump->tee);
  }
  if (splices && (has_through ? run_through(pump) : run_splice(pump))) return;
  pump->logged = pump->tee.ahead;
  relay_tee_close(&pump->tee);
  if (map_buffer(pump)) run_copy(pump);
}

void relay_pump_run(struct relay_pump *pump) {
  pump->tee.side[0] = pump->tee.side[1] = -1;
  pump->hangup_interest = POLLRDHUP;
  pump->source_is_pipe = is_pipe(pump->source);
  run(pump);
  pump->undelivered = relay_in_hand(pump);
  relay_tee_close(&pump->tee);
  if (pump->buffer != NULL) munmap(pump->buffer, BUFFER_SIZE);
  pump->buffer = NULL;
}
