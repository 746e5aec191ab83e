// LCOW's vsockexec: starts a program with its standard streams on ports of the host. As init's
// program it is only read (init forwards the log itself, and again when the port comes back);
// called under that name, as from a debug shell, it does what it says.
#include <poll.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

char **vsockexec_parse(char **arguments, uint32_t *out, uint32_t *err) {
  char **next = arguments + 1;
  for (; *next != NULL && (*next)[0] == '-'; next++) {
    char kind = (*next)[1];
    if (strcmp(*next, "--") == 0) return next + 1;
    const char *value = (*next)[2] != '\0' ? *next + 2 : next[1] == NULL ? "" : *++next;
    uint32_t port = text_port(value);
    if (port == 0)
      log_say("vsockexec -%c %s: not a port, ignored", kind, value);
    else if (kind == 'o')
      *out = port;
    else if (kind == 'e')
      *err = port;
    else
      log_say("vsockexec: unknown option -%c, ignored", kind);
  }
  return next;
}

static bool connect_stream(uint32_t port, int stream) {
  bool connecting;
  int fd = dial_host(port, &connecting);
  if (fd >= 0 && connecting) {
    struct pollfd want = {.fd = fd, .events = POLLOUT};
    while (poll(&want, 1, -1) < 0 && errno == EINTR) continue;
    errno = dial_result(fd);
  }
  if (fd < 0 || (connecting && errno != 0)) {
    fprintf(stderr, "vsockexec: port %u: %s\n", port, strerror(errno));
    return false;
  }
  // The program expects streams that block.
  return fcntl(fd, F_SETFL, 0) == 0 && dup2(fd, stream) >= 0;
}

int vsockexec(int count, char **arguments) {
  uint32_t out = 0, err = 0;
  (void)count;
  log_to(STDERR_FILENO);
  char **program = vsockexec_parse(arguments, &out, &err);
  if (*program == NULL) {
    fprintf(stderr, "usage: vsockexec [-o PORT] [-e PORT] PROGRAM [ARGUMENT…]\n");
    return EXIT_NOT_PID_1;
  }
  if (out != 0 && !connect_stream(out, STDOUT_FILENO)) return 1;
  if (err != 0 && !connect_stream(err, STDERR_FILENO)) return 1;
  execvp(program[0], program);
  fprintf(stderr, "vsockexec: %s: %s\n", program[0], strerror(errno));
  return 127;
}
