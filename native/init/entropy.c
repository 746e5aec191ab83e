// The host's seed: as LCOW does it, a port that answers a connection with random bytes. Optional and
// bounded in time; the kernel has other sources.
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init.h"

enum { SEED_BYTES = 512, DEADLINE_MS = 3000 };

// linux/random.h
struct pool_info {
  int entropy_count; // bits
  int buf_size;      // bytes
  unsigned char buf[SEED_BYTES];
};
// _IOW('R', 0x03, int[2])
#define RNDADDENTROPY _IOW('R', 0x03, int[2])

// True when the descriptor is ready before the deadline, else errno says why not.
static bool ready(int fd, short events, int64_t deadline) {
  for (;;) {
    struct pollfd want = {.fd = fd, .events = events};
    int64_t left = deadline - clock_now();
    int count = left <= 0 ? 0 : poll(&want, 1, (int)left);
    if (count > 0) return true;
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = ETIMEDOUT;
    return false;
  }
}

// How many bytes came; fewer than asked for when the host ends early or errno says more.
static int receive(int fd, bool connecting, unsigned char *out) {
  int64_t deadline = clock_now() + DEADLINE_MS;
  int length = 0;
  if (connecting) {
    if (!ready(fd, POLLOUT, deadline)) return 0;
    if ((errno = dial_result(fd)) != 0) return 0;
  }
  while (length < SEED_BYTES) {
    ssize_t count = read(fd, out + length, (size_t)(SEED_BYTES - length));
    if (count > 0) {
      length += (int)count;
      continue;
    }
    if (count == 0) {
      errno = ENODATA;
      break;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN || !ready(fd, POLLIN, deadline)) break;
  }
  return length;
}

static void credit(const struct pool_info *seed) {
  int fd = open("/dev/random", O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    log_failure("entropy: open /dev/random");
    return;
  }
  if (ioctl(fd, RNDADDENTROPY, seed) < 0) log_failure("entropy: add to /dev/random");
  close(fd);
}

void entropy_seed(void) {
  static struct pool_info seed;
  bool connecting = false;
  if (options.entropy_port == 0) return;
  int fd = dial_host(options.entropy_port, &connecting);
  if (fd < 0) {
    log_failure("entropy port %u", options.entropy_port);
    return;
  }
  seed.buf_size = receive(fd, connecting, seed.buf);
  seed.entropy_count = seed.buf_size * 8;
  if (seed.buf_size < SEED_BYTES)
    log_failure("entropy port %u: %d of %d bytes", options.entropy_port, seed.buf_size, SEED_BYTES);
  close(fd);
  if (seed.buf_size > 0) credit(&seed);
  // Nobody reads the seed after us.
  explicit_bzero(&seed, sizeof seed);
}
