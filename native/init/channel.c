// The init channel: a SOCK_SEQPACKET pair whose other end is the agent's descriptor 3. A request is
// one packet of text, a newline at its end does not matter; every request gets one reply, "ok" or
// "error REASON".
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

enum { REQUEST_MAX = 256, PASSED_MAX = 253 };

int channel_fd = -1;

int channel_open(void) {
  int ends[2];
  channel_close();
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    log_failure("init channel");
    return -1;
  }
  // How the agent's end waits is the agent's affair.
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) log_failure("init channel: O_NONBLOCK");
  channel_fd = ends[0];
  return ends[1];
}

void channel_close(void) {
  if (channel_fd >= 0) close(channel_fd);
  channel_fd = -1;
}

// The one place that knows the requests.
static const char *answer(const char *request) {
  static const struct {
    const char *name;
    enum ending how;
  } endings[] = {{"poweroff", POWER_OFF}, {"reboot", REBOOT}};
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    if (strcmp(request, endings[i].name) != 0) continue;
    if (ending != RUNNING) return "error already going down";
    log_say("the agent asks for %s", request);
    power_request(endings[i].how);
    return "ok";
  }
  log_say("init channel: unknown request '%s'", request);
  return "error unknown request";
}

static void close_passed(struct msghdr *message) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      close(fd);
    }
  }
}

void channel_ready(void) {
  char request[REQUEST_MAX + 1];
  static _Alignas(struct cmsghdr) char control[CMSG_SPACE(PASSED_MAX * sizeof(int))];
  struct iovec bytes = {.iov_base = request, .iov_len = REQUEST_MAX};
  struct msghdr message = {
      .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t count = recvmsg(channel_fd, &message, MSG_CMSG_CLOEXEC);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // ECONNRESET: the agent has ended without reading its last reply.
  if (count < 0 && errno != ECONNRESET) log_failure("init channel");
  // The agent has closed its end, or is about to be reaped. (An empty packet is no request.)
  if (count <= 0) {
    channel_close();
    return;
  }
  close_passed(&message);
  request[count] = '\0';
  if (request[count - 1] == '\n') request[count - 1] = '\0';
  const char *reply = (message.msg_flags & MSG_TRUNC) != 0 ? "error request too long" : answer(request);
  if (send(channel_fd, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    log_failure("init channel: reply to '%s'", request);
}
