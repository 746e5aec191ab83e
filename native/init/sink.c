// A sink is a bounded buffer in front of the console or of a log port of the host. Nothing ever
// waits for one: what does not fit drops the oldest whole lines, and a notice says how many bytes
// that were. A connection that is lost gets its unfinished line again from the start, so that a
// reader of JSON lines sees whole ones.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

enum { FIRST_RETRY_MS = 100, LAST_RETRY_MS = 5000 };

// Not initialised here: their buffers would be part of the binary.
struct sink console;
struct sink ports[2];

void sinks_prepare(void) {
  struct sink *const all[] = {&console, &ports[0], &ports[1]};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    all[i]->fd = -1;
    all[i]->retry_delay = FIRST_RETRY_MS;
  }
}

static char at(const struct sink *sink, size_t offset) {
  return sink->bytes[(sink->start + offset) % SINK_BYTES];
}

static void drop_line(struct sink *sink) {
  size_t count = 0;
  while (count < sink->length && at(sink, count) != '\n') count++;
  if (count < sink->length) count++;
  if (sink->sent > 0) sink->torn = true;
  sink->dropped += count - (sink->sent < count ? sink->sent : count);
  sink->start = (sink->start + count) % SINK_BYTES;
  sink->length -= count;
  sink->sent = sink->sent > count ? sink->sent - count : 0;
}

void sink_put(struct sink *sink, const char *bytes, size_t count) {
  if (count > SINK_BYTES) {
    sink->dropped += count - SINK_BYTES;
    bytes += count - SINK_BYTES;
    count = SINK_BYTES;
  }
  while (sink->length + count > SINK_BYTES) drop_line(sink);
  size_t end = (sink->start + sink->length) % SINK_BYTES;
  size_t first = count < SINK_BYTES - end ? count : SINK_BYTES - end;
  memcpy(sink->bytes + end, bytes, first);
  memcpy(sink->bytes, bytes + first, count - first);
  sink->length += count;
}

bool sink_empty(const struct sink *sink) {
  return sink->length == sink->sent && sink->notice_length == 0 && sink->dropped == 0;
}

static void lost(struct sink *sink, int error) {
  bool was_up = !sink->connecting && sink->fd >= 0;
  if (sink->fd >= 0) close(sink->fd);
  sink->fd = -1;
  sink->connecting = false;
  sink->sent = 0;
  sink->torn = false;
  sink->notice_sent = 0;
  if (was_up) sink->retry_delay = FIRST_RETRY_MS;
  sink->retry_at = clock_now() + sink->retry_delay;
  sink->retry_delay = sink->retry_delay * 2 > LAST_RETRY_MS ? LAST_RETRY_MS : sink->retry_delay * 2;
  // Said once: the attempts that follow fail for the same reason.
  if (sink->port == 0 || (sink->failed && !was_up)) return;
  sink->failed = true;
  errno = error;
  log_failure("log port %u", sink->port);
}

static void connected(struct sink *sink) {
  sink->connecting = false;
  sink->retry_delay = FIRST_RETRY_MS;
  if (sink->port != 0 && sink->failed) log_say("log port %u: connected", sink->port);
  sink->failed = false;
}

static void open_due(struct sink *sink) {
  if (sink->retry_at > clock_now()) return;
  if (sink->port == 0) {
    sink->fd = open("/dev/console", O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    sink->connecting = false;
  } else {
    sink->fd = dial_host(sink->port, &sink->connecting);
  }
  if (sink->fd < 0)
    lost(sink, errno);
  else if (!sink->connecting)
    connected(sink);
}

static void make_notice(struct sink *sink) {
  const char *format = sink->port != 0 && options.json_log
                           ? "%s{\"level\":\"warning\",\"msg\":\"init: %llu bytes of log dropped\"}\n"
                           : "%sinit: %llu bytes of log dropped\n";
  int length = snprintf(sink->notice, sizeof sink->notice, format, sink->torn ? "\n" : "",
                        (unsigned long long)sink->dropped);
  sink->notice_length = length < 0 ? 0 : (size_t)length;
  sink->notice_sent = 0;
  sink->torn = false;
  sink->dropped = 0;
}

// Lines that are written whole are given up.
static void settle(struct sink *sink) {
  size_t whole = sink->sent;
  while (whole > 0 && at(sink, whole - 1) != '\n') whole--;
  sink->start = (sink->start + whole) % SINK_BYTES;
  sink->length -= whole;
  sink->sent -= whole;
}

// One write; false when no more can be written now.
static bool write_some(struct sink *sink) {
  if (sink->dropped > 0 && sink->sent == 0 && sink->notice_length == 0) make_notice(sink);
  bool notice = sink->notice_length > 0 && sink->sent == 0;
  size_t from = (sink->start + sink->sent) % SINK_BYTES;
  size_t count = sink->length - sink->sent;
  if (count > SINK_BYTES - from) count = SINK_BYTES - from;
  if (!notice && count == 0) return false;
  // SIGPIPE is blocked, as all signals are.
  ssize_t written = notice ? write(sink->fd, sink->notice + sink->notice_sent,
                                   sink->notice_length - sink->notice_sent)
                           : write(sink->fd, sink->bytes + from, count);
  if (written < 0) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN) lost(sink, errno);
    return false;
  }
  if (notice) {
    sink->notice_sent += (size_t)written;
    if (sink->notice_sent == sink->notice_length) sink->notice_length = 0;
  } else {
    sink->sent += (size_t)written;
    settle(sink);
  }
  return true;
}

void sink_flush(struct sink *sink) {
  if (sink->fd < 0 && sink->retry_at >= 0) open_due(sink);
  while (sink->fd >= 0 && !sink->connecting && write_some(sink)) continue;
}

void sink_want(const struct sink *sink, struct pollfd *want) {
  want->fd = sink->fd;
  want->events = 0;
  if (sink->connecting || !sink_empty(sink)) want->events |= POLLOUT;
  if (sink->port != 0) want->events |= POLLIN;
  // The console has nothing to say but that it takes more.
  if (want->events == 0) want->fd = -1;
}

void sink_ready(struct sink *sink, short events) {
  if (sink->fd < 0 || events == 0) return;
  if (sink->connecting) {
    int error = dial_result(sink->fd);
    if (error != 0) {
      lost(sink, error);
      return;
    }
    connected(sink);
  }
  if (sink->port != 0 && (events & (POLLIN | POLLHUP | POLLERR)) != 0) {
    char ignored[256];
    ssize_t count = recv(sink->fd, ignored, sizeof ignored, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
      lost(sink, count == 0 ? ECONNRESET : errno);
      return;
    }
  } else if ((events & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
    lost(sink, EIO);
    return;
  }
  sink_flush(sink);
}

int64_t sink_due(const struct sink *sink) { return sink->fd < 0 ? sink->retry_at : -1; }
