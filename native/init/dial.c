// Connections to the host: AF_VSOCK, or in the hybrid form the unix socket PATH_<port>.
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "init.h"

// vsock(7). The kernel's header is not part of the C library we build with.
#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif
enum { CID_HOST = 2 };

struct vsock_address {
  sa_family_t family;
  unsigned short reserved;
  unsigned int port;
  unsigned int cid;
  unsigned char zero[4];
};

union address {
  struct sockaddr any;
  struct sockaddr_un local;
  struct vsock_address vsock;
};

static socklen_t address_of(uint32_t port, union address *address) {
  memset(address, 0, sizeof *address);
  if (options.unix_path[0] == '\0') {
    address->vsock = (struct vsock_address){.family = AF_VSOCK, .port = port, .cid = CID_HOST};
    return sizeof address->vsock;
  }
  // The option's own limit leaves room for the longest port.
  address->local.sun_family = AF_UNIX;
  snprintf(address->local.sun_path, sizeof address->local.sun_path, "%s_%u", options.unix_path, port);
  return sizeof address->local;
}

int dial_host(uint32_t port, bool *connecting) {
  union address address;
  socklen_t size = address_of(port, &address);
  int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  *connecting = false;
  if (connect(fd, &address.any, size) == 0) return fd;
  if (errno == EINPROGRESS) {
    *connecting = true;
    return fd;
  }
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int dial_result(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}
