#include "relay_wait.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

// ---- ends -------------------------------------------------------------------------------------

bool relay_finish(struct relay_pump *pump, enum relay_end end, int error) {
  pump->end = end;
  pump->error = error;
  return false;
}

static bool means_closed(int error) {
  // EIO: a pty whose last slave is closed. ENOTCONN: a vsock that was reset.
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ESHUTDOWN ||
         error == ECONNABORTED || error == EIO;
}

bool relay_lose_destination(struct relay_pump *pump, int error) {
  if (!means_closed(error)) return relay_finish(pump, RELAY_ERROR, error);
  if (pump->sink < 0) return relay_finish(pump, RELAY_DESTINATION_CLOSED, error);
  pump->destination = pump->sink;
  pump->sink = -1;
  pump->flags &= ~(unsigned)RELAY_WATCH_DESTINATION;
  atomic_store(&pump->lost, error);
  pump->on_news(pump);
  return true;
}

bool relay_finish_source(struct relay_pump *pump, int error) {
  if (error == EIO && (pump->flags & RELAY_EIO_IS_EOF)) return relay_finish(pump, RELAY_EOF, 0);
  return relay_finish(pump, RELAY_ERROR, error);
}

// ---- barriers ---------------------------------------------------------------------------------

uint64_t relay_in_hand(const struct relay_pump *pump) {
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
      atomic_load(&pump->bytes) + relay_in_hand(pump) + (uint64_t)waiting + hidden;
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

void relay_count(struct relay_pump *pump, size_t delivered) {
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

bool relay_wait_for(struct relay_pump *pump, enum relay_side side) {
  for (;;) {
    const bool watch = side == RELAY_DESTINATION || (pump->flags & RELAY_WATCH_DESTINATION);
    if (atomic_load(&pump->cancel)) return relay_finish(pump, RELAY_CANCELLED, 0);
    open_barrier(pump);
    check_barrier(pump);
    struct pollfd fds[] = {
        {.fd = side == RELAY_SOURCE ? pump->source : -1, .events = POLLIN},
        {.fd = watch ? pump->destination : -1,
         .events = (short)(pump->hangup_interest | (side == RELAY_DESTINATION ? POLLOUT : 0))},
        {.fd = pump->wake, .events = POLLIN},
    };
    // We wait for the source only with nothing in hand, so finding it empty closes a barrier.
    const bool probe = side == RELAY_SOURCE && pump->barrier_open != 0;
    int ready = poll(fds, 3, probe ? 0 : -1);
    if (ready < 0) {
      if (errno == EINTR) continue;
      return relay_finish(pump, RELAY_ERROR, errno);
    }
    if (fds[2].revents != 0) {
      take_wake(pump);
      continue;
    }
    const int error = gone(pump, fds[1].revents);
    if (error != 0) {
      if (!relay_lose_destination(pump, error)) return false;
      continue;
    }
    if (side == RELAY_DESTINATION && (fds[1].revents & POLLOUT)) return true;
    if (side == RELAY_SOURCE && fds[0].revents != 0) return true;
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

// Whether enough waits already, as when the transfer was ended by a full destination.
static bool has_gathered(const struct relay_pump *pump) {
  int waiting = 0;
  return ioctl(pump->source, FIONREAD, &waiting) == 0 && waiting >= SMALL;
}

void relay_pace(struct relay_pump *pump, size_t moved) {
  const uint64_t time = now();
  const uint64_t gap = time - pump->moved_at;
  pump->moved_at = time;
  if (moved >= FULL || gap > SILENCE_NS)
    pump->small_run = 0;
  else if (moved < SMALL && gap < CLOSE_NS && pump->small_run < SMALL_RUN)
    pump->small_run++;
  if (pump->small_run >= SMALL_RUN && !has_gathered(pump)) nap(pump);
}

bool relay_more_follows(struct relay_pump *pump) {
  struct pollfd fds[] = {{.fd = pump->source, .events = POLLIN},
                         {.fd = pump->wake, .events = POLLIN}};
  const struct timespec time = {.tv_nsec = FOLLOW_NS};
  return ppoll(fds, 2, &time, NULL) > 0 && fds[0].revents != 0 && fds[1].revents == 0;
}

