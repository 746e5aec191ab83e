#include "relay_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// One splice moves at most what the pipe holds; the number only has to be larger than that.
#define SPLICE_MAX (1u << 20)
#define BUFFER_SIZE (64u << 10)
// Reads of a pty return at most 4095 bytes. After a read of this size more is likely to follow, and
// one write of many reads wakes the host once instead of many times: so as long as the buffer is
// below the mark, the next read is waited for a moment.
#define LONG_READ 2048
#define BUFFER_MARK (BUFFER_SIZE - 8192)
#define FOLLOW_NS 50000
// A process that makes many small writes would wake the relay, and the relay the host, for each of
// them. When that many small transfers have followed each other this closely, the relay lets more
// come together before the next one. A transfer of FULL bytes or a longer silence ends that.
#define SMALL 4096
#define SMALL_RUN 8
#define CLOSE_NS 50000
#define NAP_NS 100000
#define SILENCE_NS 400000
#define FULL (64u << 10)
// A pty holds up to 4 KiB in the line discipline, which FIONREAD counts, and up to 8 KiB plus one
// allocation behind it, which it does not (drivers/tty/pty.c, tty_buffer_set_limit).
#define PTY_HIDDEN_MAX (64u << 10)

enum side { SOURCE, DESTINATION };

// All that ends a pump goes through here, so that the loops can `return finish(…)`.
static bool finish(struct relay_pump *pump, enum relay_end end, int error) {
  pump->end = end;
  pump->error = error;
  return false;
}

static bool means_closed(int error) {
  // EIO: a pty whose last slave is closed. ENOTCONN: a vsock that was reset.
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ESHUTDOWN ||
         error == ECONNABORTED || error == EIO;
}

static bool finish_destination(struct relay_pump *pump, int error) {
  return finish(pump, means_closed(error) ? RELAY_DESTINATION_CLOSED : RELAY_ERROR, error);
}

static bool finish_source(struct relay_pump *pump, int error) {
  if (error == EIO && (pump->flags & RELAY_EIO_IS_EOF)) return finish(pump, RELAY_EOF, 0);
  return finish(pump, RELAY_ERROR, error);
}

// ---- barriers ---------------------------------------------------------------------------------

// Takes the snapshot of a barrier. It is exact because this thread is the source's only reader and
// is not reading now: what the source holds at this moment is delivered when `bytes` has grown by
// as much.
static void open_barrier(struct relay_pump *pump) {
  uint32_t wanted = atomic_load(&pump->barriers_wanted);
  if (pump->barrier_open != 0 || wanted == pump->barrier_done) return;
  int waiting = 0;
  if (ioctl(pump->source, FIONREAD, &waiting) < 0) waiting = 0;
  uint64_t hidden = (pump->flags & RELAY_EIO_IS_EOF) ? PTY_HIDDEN_MAX : 0;
  pump->barrier_open = wanted;
  pump->barrier_target =
      atomic_load(&pump->bytes) + (pump->tail - pump->head) + (uint64_t)waiting + hidden;
}

static void close_barrier(struct relay_pump *pump) {
  pump->barrier_done = pump->barrier_open;
  pump->barrier_open = 0;
  pump->on_barrier(pump, pump->barrier_done);
  open_barrier(pump);  // one that was asked for meanwhile
}

static void check_barrier(struct relay_pump *pump) {
  while (pump->barrier_open != 0 && atomic_load(&pump->bytes) >= pump->barrier_target)
    close_barrier(pump);
}

static void count(struct relay_pump *pump, size_t delivered) {
  atomic_fetch_add(&pump->bytes, delivered);
  check_barrier(pump);
}

// ---- waiting ----------------------------------------------------------------------------------

// Has the destination's peer gone? A vsock that the host closed shows as POLLRDHUP alone, and so
// does one that the host only half-closed (it will send nothing more, and never meant to). A
// zero-length send tells them apart: it moves nothing and fails only when nobody can receive.
static bool destination_gone(struct relay_pump *pump, short revents) {
  if (revents & (POLLERR | POLLHUP | POLLNVAL)) {
    int error = 0;
    socklen_t length = sizeof error;
    if (revents & POLLNVAL) {
      error = EBADF;
    } else if (getsockopt(pump->destination, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ||
               error == 0) {
      error = EPIPE;
    }
    finish_destination(pump, error);
    return true;
  }
  if (revents & POLLRDHUP) {
    if (send(pump->destination, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && means_closed(errno)) {
      finish_destination(pump, errno);
      return true;
    }
    // Half-closed. The event is level-triggered and would come again at once, so it is not asked
    // for any more; a later full close is seen by POLLHUP (unix) or by the next write (vsock).
    pump->hangup_interest = 0;
  }
  return false;
}

static void take_wake(struct relay_pump *pump) {
  uint64_t ignored;
  // EAGAIN: another poll round took it already.
  if (read(pump->wake, &ignored, sizeof ignored) < 0) return;
}

// Blocks until `side` is ready for a transfer. False when the pump has ended.
static bool wait_for(struct relay_pump *pump, enum side side) {
  const bool watch = side == DESTINATION || (pump->flags & RELAY_WATCH_DESTINATION);
  for (;;) {
    if (atomic_load(&pump->cancel)) return finish(pump, RELAY_CANCELLED, 0);
    open_barrier(pump);
    check_barrier(pump);
    struct pollfd fds[] = {
        {.fd = side == SOURCE ? pump->source : -1, .events = POLLIN},
        {.fd = watch ? pump->destination : -1,
         .events = (short)(pump->hangup_interest | (side == DESTINATION ? POLLOUT : 0))},
        {.fd = pump->wake, .events = POLLIN},
    };
    // We wait for the source only with nothing in hand, so finding it empty closes a barrier.
    const bool probe = side == SOURCE && pump->barrier_open != 0;
    int ready = poll(fds, 3, probe ? 0 : -1);
    if (ready < 0) {
      if (errno == EINTR) continue;
      return finish(pump, RELAY_ERROR, errno);
    }
    if (fds[2].revents != 0) {
      take_wake(pump);
      continue;
    }
    if (fds[1].revents & ~POLLOUT) {
      if (destination_gone(pump, fds[1].revents)) return false;
    }
    if (side == DESTINATION && (fds[1].revents & POLLOUT)) return true;
    if (side == SOURCE && fds[0].revents != 0) return true;
    if (probe && pump->barrier_open != 0) close_barrier(pump);
  }
}

// ---- pacing -----------------------------------------------------------------------------------

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// Lets a stream of small writes gather. Ends early when somebody wants something of this thread,
// when the source has no writer any more and when the destination has gone.
static void nap(struct relay_pump *pump) {
  struct pollfd fds[] = {
      {.fd = pump->source}, {.fd = pump->destination}, {.fd = pump->wake, .events = POLLIN}};
  const struct timespec time = {.tv_nsec = NAP_NS};
  // Whatever ends it is seen by the wait that follows.
  ppoll(fds, 3, &time, NULL);
}

static void pace(struct relay_pump *pump, size_t moved) {
  const uint64_t time = now();
  const uint64_t gap = time - pump->moved_at;
  pump->moved_at = time;
  if (moved >= FULL || gap > SILENCE_NS)
    pump->small_run = 0;
  else if (moved < SMALL && gap < CLOSE_NS && pump->small_run < SMALL_RUN)
    pump->small_run++;
  if (pump->small_run < SMALL_RUN) return;
  nap(pump);
}

// Is there more within a moment?
static bool more_follows(struct relay_pump *pump) {
  struct pollfd fds[] = {{.fd = pump->source, .events = POLLIN},
                         {.fd = pump->wake, .events = POLLIN}};
  const struct timespec time = {.tv_nsec = FOLLOW_NS};
  return ppoll(fds, 2, &time, NULL) > 0 && fds[0].revents != 0 && fds[1].revents == 0;
}

// ---- tee --------------------------------------------------------------------------------------

static void stop_tee(struct relay_pump *pump, int error) {
  pump->tee_error = error;
  pump->tee = -1;
}

static void tee_write(struct relay_pump *pump, const char *data, size_t length) {
  while (pump->tee >= 0 && length > 0) {
    ssize_t n = write(pump->tee, data, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      stop_tee(pump, n < 0 ? errno : EIO);
      return;
    }
    data += n;
    length -= (size_t)n;
  }
}

// Sends what was just delivered to the tee, from its copy in the side pipe.
static void tee_from_side(struct relay_pump *pump, size_t length) {
  while (pump->tee >= 0 && length > 0) {
    ssize_t n = read(pump->side[0], pump->buffer, length < BUFFER_SIZE ? length : BUFFER_SIZE);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      stop_tee(pump, n < 0 ? errno : EIO);
      return;
    }
    tee_write(pump, pump->buffer, (size_t)n);
    length -= (size_t)n;
  }
}

static ssize_t splice_once(struct relay_pump *pump, size_t length) {
  return splice(pump->source, NULL, pump->destination, NULL, length,
                SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

// As splice_once, with a copy for the tee. tee(2) duplicates without consuming, so that no byte is
// ever out of the source and not yet in the destination.
static ssize_t splice_with_tee(struct relay_pump *pump) {
  if (pump->ahead == 0) {
    ssize_t n = tee(pump->source, pump->side[1], SPLICE_MAX, SPLICE_F_NONBLOCK);
    if (n <= 0) return n;
    pump->ahead = (size_t)n;
  }
  ssize_t n = splice_once(pump, pump->ahead);
  if (n > 0) {
    pump->ahead -= (size_t)n;
    tee_from_side(pump, (size_t)n);
  }
  return n;
}

// ---- the two loops ----------------------------------------------------------------------------

// False when splice cannot serve these descriptors and nothing has been moved.
static bool run_splice(struct relay_pump *pump) {
  while (wait_for(pump, SOURCE)) {
    ssize_t n = pump->tee >= 0 ? splice_with_tee(pump) : splice_once(pump, SPLICE_MAX);
    if (n > 0) {
      count(pump, (size_t)n);
      pace(pump, (size_t)n);
    } else if (n == 0) {
      finish(pump, RELAY_EOF, 0);
      break;
    } else if (errno == EAGAIN) {
      // The source was ready, so it is the destination that is full.
      if (!wait_for(pump, DESTINATION)) break;
    } else if (errno == EINVAL && atomic_load(&pump->bytes) == 0) {
      return false;
    } else if (errno != EINTR) {
      // splice does not say which end failed. A pipe as source cannot fail.
      if (errno == EPIPE || pump->source_is_pipe)
        finish_destination(pump, errno);
      else
        finish_source(pump, errno);
      break;
    }
  }
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
  } while (pump->tail < BUFFER_MARK && more_follows(pump));
}

static bool drain(struct relay_pump *pump) {
  while (pump->head < pump->tail) {
    ssize_t n = write(pump->destination, pump->buffer + pump->head, pump->tail - pump->head);
    if (n > 0) {
      tee_write(pump, pump->buffer + pump->head, (size_t)n);
      pump->head += (size_t)n;
      count(pump, (size_t)n);
    } else if (n == 0 || errno == EAGAIN) {
      if (!wait_for(pump, DESTINATION)) return false;
    } else if (errno != EINTR) {
      return finish_destination(pump, errno);
    }
  }
  return true;
}

static void run_copy(struct relay_pump *pump) {
  bool end = false;
  int end_error = 0;
  while (wait_for(pump, SOURCE)) {
    fill(pump, &end, &end_error);
    const size_t moved = pump->tail;
    if (!drain(pump)) return;
    if (moved > 0 && !end) pace(pump, moved);
    if (end) {
      if (end_error != 0)
        finish_source(pump, end_error);
      else
        finish(pump, RELAY_EOF, 0);
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
  if (memory == MAP_FAILED) return finish(pump, RELAY_ERROR, errno);
  pump->buffer = memory;
  return true;
}

static void drop_side(struct relay_pump *pump) {
  if (pump->side[0] >= 0) close(pump->side[0]);
  if (pump->side[1] >= 0) close(pump->side[1]);
  pump->side[0] = pump->side[1] = -1;
  pump->ahead = 0;
}

static void run(struct relay_pump *pump) {
  bool splices = (pump->flags & RELAY_SPLICE) != 0;
  if (splices && pump->tee >= 0) {
    if (!map_buffer(pump)) return;
    // tee(2) needs a pipe as its source; a socket is copied instead.
    splices = pump->source_is_pipe && pipe2(pump->side, O_CLOEXEC | O_NONBLOCK) == 0;
  }
  if (splices && run_splice(pump)) return;
  drop_side(pump);
  if (map_buffer(pump)) run_copy(pump);
}

void relay_pump_run(struct relay_pump *pump) {
  pump->side[0] = pump->side[1] = -1;
  pump->hangup_interest = POLLRDHUP;
  pump->source_is_pipe = is_pipe(pump->source);
  run(pump);
  pump->undelivered = pump->tail - pump->head;
  drop_side(pump);
  if (pump->buffer != NULL) munmap(pump->buffer, BUFFER_SIZE);
  pump->buffer = NULL;
}
