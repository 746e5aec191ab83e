// terminal-splice: does this kernel splice terminals as the agent's relays need it? Prints "ok", or
// what is different. Static, to be run in a guest.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define REQUIRE(condition)                                                               \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      printf("%s: errno %d\n", #condition, errno);                                       \
      return 1;                                                                          \
    }                                                                                    \
  } while (0)

static ssize_t move(int from, int to, size_t length) {
  return splice(from, NULL, to, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static int held(int pipe) {
  int bytes = -1;
  ioctl(pipe, FIONREAD, &bytes);
  return bytes;
}

int main(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  REQUIRE(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK);
  struct termios raw;
  REQUIRE(slave >= 0 && tcgetattr(slave, &raw) == 0);
  cfmakeraw(&raw);
  REQUIRE(tcsetattr(slave, TCSANOW, &raw) == 0);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  static char out[65536], in[65536];
  for (size_t i = 0; i < sizeof out; i++) out[i] = (char)(i * 7 + i / 251);

  // Output: nothing there, some, and the end.
  REQUIRE(move(master, ends[1], 4096) < 0 && errno == EAGAIN);
  REQUIRE(write(slave, out, 3000) == 3000);
  size_t taken = 0;
  while (taken < 3000) {
    ssize_t n = move(master, ends[1], 4096);
    if (n < 0 && errno == EAGAIN) continue;
    REQUIRE(n > 0);
    taken += (size_t)n;
    REQUIRE(held(ends[0]) == (int)taken);
  }
  REQUIRE(read(ends[0], in, sizeof in) == 3000 && memcmp(in, out, 3000) == 0);

  // Input: until the terminal takes no more, and on when it was read.
  REQUIRE(write(ends[1], out, sizeof out) == sizeof out);
  size_t sent = 0, received = 0;
  int full = 0;
  while (received < sizeof out) {
    ssize_t n = sent < sizeof out ? move(ends[0], master, sizeof out - sent) : 0;
    if (n > 0) sent += (size_t)n;
    REQUIRE(n >= 0 || errno == EAGAIN);
    REQUIRE(held(ends[0]) == (int)(sizeof out - sent));
    if (n > 0) continue;
    full += n < 0;
    ssize_t got = read(slave, in + received, sizeof in - received);
    REQUIRE(got > 0 || errno == EAGAIN);
    if (got > 0) received += (size_t)got;
  }
  REQUIRE(full > 0 && memcmp(in, out, sizeof out) == 0);

  REQUIRE(close(slave) == 0);
  REQUIRE(move(master, ends[1], 4096) < 0 && errno == EIO);
  puts("ok");
  return 0;
}
