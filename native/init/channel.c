// The init channel: a SOCK_SEQPACKET pair whose other end is the agent's descriptor 3. A request is
// one packet of text, a newline at its end does not matter, with descriptors by SCM_RIGHTS; every
// request gets one reply, "ok" or "error REASON":
//
//   poweroff, reboot    of the virtual machine; a supervisor refuses
//   ready               the agent is of use: should it end, another one is started at once
//   store NAME          keeps the 1 to 4 descriptors that came along: exists, full, bad name
//   drop NAME           closes them: unknown
//   fetch NAME          copies of them come with the reply; they stay: unknown
//   list AFTER          "ok LAST" and a line "NAME COUNT" for each of the entries after the one
//                       numbered AFTER (0: all), as many as a packet takes, LAST being the number
//                       of the last of them; "end" when there is none
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

enum { REQUEST_MAX = 256, REPLY_MAX = 4096, PASSED_MAX = 253, AT_ONCE = 64 };
// Bytes on their way in one direction, as the kernel counts them: some thousand requests.
enum { BUFFER_BYTES = 1024 * 1024, DRAIN_MAX = 65536 };

struct packet {
  char text[REQUEST_MAX + 1];
  int fds[PASSED_MAX];
  size_t count;
  bool too_long;
  bool incomplete; // not all descriptors came through
};

struct reply {
  char text[REPLY_MAX];
  size_t length;
  const int *fds;
  size_t count;
};

int channel_fd = -1;
static bool crowded; // the agent does not read its replies: no more requests until it has

static void enlarge(int fd) {
  int size = BUFFER_BYTES;
  // The first needs CAP_NET_ADMIN; the second takes what everybody may have.
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) == 0) return;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0) log_failure("init channel: SO_SNDBUF");
}

int channel_open(void) {
  int ends[2];
  channel_close();
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    log_failure("init channel");
    return -1;
  }
  // How the agent's end waits is the agent's affair.
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) log_failure("init channel: O_NONBLOCK");
  for (int i = 0; i < 2; i++) enlarge(ends[i]);
  channel_fd = ends[0];
  return ends[1];
}

void channel_close(void) {
  if (channel_fd >= 0) close(channel_fd);
  channel_fd = -1;
  crowded = false;
}

static void say(struct reply *reply, const char *text, const char *reason) {
  int length = snprintf(reply->text, sizeof reply->text, "%s%s", text, reason);
  reply->length = (size_t)length;
}

static void power(struct reply *reply, const char *request, enum ending how) {
  if (options.supervise) {
    say(reply, "error ", "not a machine of ours");
  } else if (ending != RUNNING) {
    say(reply, "error ", "already going down");
  } else {
    log_say("the agent asks for %s", request);
    power_request(how);
    say(reply, "ok", "");
  }
}

// The descriptors are the store's when it takes them, else they stay the packet's.
static void store(struct reply *reply, struct packet *packet, const char *name) {
  const char *problem = packet->incomplete ? "full" : store_put(name, packet->fds, packet->count);
  if (problem == NULL) packet->count = 0;
  say(reply, problem == NULL ? "ok" : "error ", problem == NULL ? "" : problem);
}

static void fetch(struct reply *reply, const char *name) {
  reply->fds = store_get(name, &reply->count);
  if (reply->fds == NULL) reply->count = 0;
  say(reply, reply->fds == NULL ? "error " : "ok", reply->fds == NULL ? "unknown" : "");
}

static void list(struct reply *reply, const char *number) {
  enum { LINE_MAX_ = STORE_NAME_MAX + 16, HEAD = 24 };
  char *end;
  int count;
  const char *name;
  uint64_t after = strtoull(number, &end, 10);
  if (*number < '0' || *number > '9' || *end != '\0') {
    say(reply, "error ", "not a number");
    return;
  }
  // The head tells the number of the last line, so it is made when that is known.
  size_t length = HEAD;
  while (length + LINE_MAX_ < sizeof reply->text && (name = store_next(after, &after, &count)) != NULL)
    length += (size_t)snprintf(reply->text + length, LINE_MAX_, "\n%s %d", name, count);
  if (length == HEAD) {
    say(reply, "end", "");
    return;
  }
  char head[HEAD + 1];
  size_t head_length = (size_t)snprintf(head, sizeof head, "ok %llu", (unsigned long long)after);
  memmove(reply->text + head_length, reply->text + HEAD, length - HEAD);
  memcpy(reply->text, head, head_length);
  reply->length = head_length + length - HEAD;
}

// What follows the word and a space; NULL when the request is another one.
static const char *after_word(const char *request, const char *word) {
  size_t length = strlen(word);
  return strncmp(request, word, length) == 0 && request[length] == ' ' ? request + length + 1 : NULL;
}

// The one place that knows the requests.
static void answer(struct reply *reply, struct packet *packet) {
  const char *request = packet->text, *name;
  if (packet->too_long) {
    say(reply, "error ", "request too long");
  } else if (strcmp(request, "poweroff") == 0) {
    power(reply, request, POWER_OFF);
  } else if (strcmp(request, "reboot") == 0) {
    power(reply, request, REBOOT);
  } else if (strcmp(request, "ready") == 0) {
    agent.steady = true;
    say(reply, "ok", "");
  } else if ((name = after_word(request, "store")) != NULL) {
    store(reply, packet, name);
  } else if ((name = after_word(request, "drop")) != NULL) {
    bool known = store_drop(name);
    say(reply, known ? "ok" : "error ", known ? "" : "unknown");
  } else if ((name = after_word(request, "fetch")) != NULL) {
    fetch(reply, name);
  } else if ((name = after_word(request, "list")) != NULL) {
    list(reply, name);
  } else {
    log_say("init channel: unknown request '%s'", request);
    say(reply, "error ", "unknown request");
  }
}

static void send_reply(const struct reply *reply, const char *request) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(STORE_FDS_MAX * sizeof(int))];
  struct iovec bytes = {.iov_base = (char *)reply->text, .iov_len = reply->length};
  struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
  if (reply->count > 0) {
    memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(reply->count * sizeof(int));
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(reply->count * sizeof(int));
    memcpy(CMSG_DATA(part), reply->fds, reply->count * sizeof(int));
  }
  if (sendmsg(channel_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return;
  // A dead agent needs no reply.
  if (errno != EPIPE && errno != ECONNRESET) log_failure("init channel: reply to '%s'", request);
}

static void take_passed(struct packet *packet, struct msghdr *message) {
  packet->count = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(packet->fds + packet->count, CMSG_DATA(part), count * sizeof(int));
    packet->count += count;
  }
}

enum taken { PACKET, NOTHING, OVER };

static enum taken receive(struct packet *packet) {
  static _Alignas(struct cmsghdr) char control[CMSG_SPACE(PASSED_MAX * sizeof(int))];
  struct iovec bytes = {.iov_base = packet->text, .iov_len = REQUEST_MAX};
  struct msghdr message = {
      .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t count;
  // ECONNRESET is told once, when the agent has ended without reading a reply, and before the
  // requests that it made until then.
  do {
    count = recvmsg(channel_fd, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && (errno == EINTR || errno == ECONNRESET));
  if (count < 0 && errno == EAGAIN) return NOTHING;
  if (count < 0) log_failure("init channel");
  // An empty packet is no request; without one the agent has closed its end, or is to be reaped.
  if (count <= 0) return OVER;
  take_passed(packet, &message);
  packet->too_long = (message.msg_flags & MSG_TRUNC) != 0;
  packet->incomplete = (message.msg_flags & MSG_CTRUNC) != 0;
  packet->text[count] = '\0';
  if (packet->text[count - 1] == '\n') packet->text[count - 1] = '\0';
  return PACKET;
}

// One request, when there is one.
static enum taken serve(void) {
  static struct packet packet;
  static struct reply reply;
  enum taken taken = receive(&packet);
  if (taken != PACKET) return taken;
  reply.fds = NULL;
  reply.count = 0;
  answer(&reply, &packet);
  for (size_t i = 0; i < packet.count; i++) close(packet.fds[i]);
  send_reply(&reply, packet.text);
  return PACKET;
}

void channel_want(struct pollfd *want) {
  want->fd = channel_fd;
  want->events = crowded ? POLLOUT : POLLIN;
}

void channel_ready(void) {
  for (int i = 0; i < AT_ONCE; i++) {
    // A reply that cannot be sent would be taken for another one's.
    struct pollfd room = {.fd = channel_fd, .events = POLLOUT};
    crowded = poll(&room, 1, 0) <= 0 || (room.revents & (POLLOUT | POLLHUP | POLLERR)) == 0;
    if (crowded) return;
    enum taken taken = serve();
    if (taken == OVER) channel_close();
    if (taken != PACKET) return;
  }
}

void channel_drain(void) {
  // Bounded, since the end of a dead agent may still be held by another.
  for (int i = 0; channel_fd >= 0 && i < DRAIN_MAX && serve() == PACKET; i++) continue;
  channel_close();
}
