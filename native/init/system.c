// Limits, host name, loopback.
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"

void system_limits(void) {
  // Soft limits are what programs that know nothing of them expect; hard ones are no limits.
  static const struct {
    const char *name;
    int resource;
    rlim_t soft, hard;
  } limits[] = {
      {"nofile", RLIMIT_NOFILE, 1024, 1024 * 1024},
      {"core", RLIMIT_CORE, 0, RLIM_INFINITY},
      {"memlock", RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY},
      {"nproc", RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY},
  };
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    struct rlimit limit = {.rlim_cur = limits[i].soft, .rlim_max = limits[i].hard};
    if (setrlimit(limits[i].resource, &limit) < 0) log_failure("rlimit %s", limits[i].name);
  }
}

void system_hostname(void) {
  if (options.hostname[0] == '\0') return;
  if (sethostname(options.hostname, strlen(options.hostname)) < 0)
    log_failure("hostname %s", options.hostname);
}

void system_loopback(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    log_failure("loopback: socket");
    return;
  }
  if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) {
    log_failure("loopback: flags of lo");
  } else {
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) log_failure("loopback: lo up");
  }
  close(fd);
}
