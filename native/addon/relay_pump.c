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
// What a read of a pty returns at most; splice(2) takes a page for each it asks for.
#define TERMINAL_READ 4096
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

// The destination's peer has gone. True when the rest goes to the sink.
static bool lose_destination(struct relay_pump *pump, int error) {
  if (!means_closed(error)) return finish(pump, RELAY_ERROR, error);
  if (pump->sink < 0) return finish(pump, RELAY_DESTINATION_CLOSED, error);
  pump->destination = pump->sink;
  pump->sink = -1;
  pump->flags &= ~(unsigned)RELAY_WATCH_DESTINATION;
  atomic_store(&pump->lost, error);
  pump->on_news(pump);
  return true;
}

static bool finish_source(struct relay_pump *pump, int error) {
  if (error == EIO && (pump->flags & RELAY_EIO_IS_EOF)) return finish(pump, RELAY_EOF, 0);
  return finish(pump, RELAY_ERROR, error);
}

// ---- barriers ---------------------------------------------------------------------------------

static uint64_t in_hand(const struct relay_pump *pump) {
  return pump->held + (pump->tail - pump->head);
}

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
      atomic_load(&pump->bytes) + in_hand(pump) + (uint64_t)waiting + hidden;
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

// The errno with which the destination's peer has gone, 0 while it has not. A vsock that the host
// closed shows as POLLRDHUP alone, and so does one that the host only half-closed (it will send
// nothing more, and never meant to). A zero-length send tells them apart: it moves nothing and
// fails only when nobody can receive.
static int gone(struct relay_pump *pump, short revents) {
  if (revents & POLLNVAL) return EBADF;
  if (revents & (POLLERR | POLLHUP)) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(pump->destination, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return EPIPE;
    return error == 0 ? EPIPE : error;
  }
  if (revents & POLLRDHUP) {
    if (send(pump->destination, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && means_closed(errno))
      return errno;
    // Half-closed. The event is level-triggered and would come again at once, so it is not asked
    // for any more; a later full close is seen by POLLHUP (unix) or by the next write (vsock).
    pump->hangup_interest = 0;
  }
  return 0;
}

static void take_wake(struct relay_pump *pump) {
  uint64_t ignored;
  // EAGAIN: another poll round took it already.
  if (read(pump->wake, &ignored, sizeof ignored) < 0) return;
}

// Blocks until `side` is ready for a transfer. False when the pump has ended.
static bool wait_for(struct relay_pump *pump, enum side side) {
  for (;;) {
    const bool watch = side == DESTINATION || (pump->flags & RELAY_WATCH_DESTINATION);
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
    const int error = gone(pump, fds[1].revents);
    if (error != 0) {
      if (!lose_destination(pump, error)) return false;
      continue;
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
  while (wait_for(pump, SOURCE)) {
    ssize_t n = deliver(pump, pump->source, SPLICE_MAX);
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
    } else if (errno == EPIPE || (errno != EINTR && pump->source_is_pipe)) {
      // splice does not say which end failed. A pipe as source cannot fail.
      if (!lose_destination(pump, errno)) break;
    } else if (errno != EINTR) {
      finish_source(pump, errno);
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
      count(pump, (size_t)n);
    } else if (n == 0 || errno == EAGAIN) {
      if (!wait_for(pump, DESTINATION)) return ENDED;
    } else if (errno == EINVAL && atomic_load(&pump->bytes) == 0) {
      return UNSUPPORTED;
    } else if (errno != EINTR) {
      if (!lose_destination(pump, errno)) return ENDED;
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
    if (n < LONG_READ || pump->held >= BUFFER_MARK || !more_follows(pump)) return MOVED;
  }
}

static void finish_end(struct relay_pump *pump, int error) {
  if (error != 0)
    finish_source(pump, error);
  else
    finish(pump, RELAY_EOF, 0);
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
    if (moved > 0) pace(pump, moved);
    if (!wait_for(pump, SOURCE)) return true;
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
  } while (pump->tail < BUFFER_MARK && more_follows(pump));
}

static bool drain(struct relay_pump *pump) {
  tee_write(pump, pump->buffer + pump->head, pump->tail - pump->head);
  while (pump->head < pump->tail) {
    ssize_t n = write(pump->destination, pump->buffer + pump->head, pump->tail - pump->head);
    if (n > 0) {
      pump->head += (size_t)n;
      count(pump, (size_t)n);
    } else if (n == 0 || errno == EAGAIN) {
      if (!wait_for(pump, DESTINATION)) return false;
    } else if (errno != EINTR) {
      if (!lose_destination(pump, errno)) return false;
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
    if (n <= 0) return finish(pump, RELAY_ERROR, n < 0 ? errno : EIO);
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
  while (wait_for(pump, SOURCE)) {
    fill(pump, &end, &end_error);
    const size_t moved = pump->tail;
    if (!drain(pump)) return;
    if (moved > 0 && !end) pace(pump, moved);
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
  if (memory == MAP_FAILED) return finish(pump, RELAY_ERROR, errno);
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
  pump->undelivered = in_hand(pump);
  relay_tee_close(&pump->tee);
  if (pump->buffer != NULL) munmap(pump->buffer, BUFFER_SIZE);
  pump->buffer = NULL;
}
