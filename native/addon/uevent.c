// The kernel's announcements of devices (kobject uevents) over netlink(7).
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native.h"

// Multicast group of the kernel itself; group 2 is udev's own.
#define KERNEL_GROUP 1

// Non-blocking and subscribed; one message a read.
GCS_FUNCTION(uevent_socket) {
  (void)info;
  int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (fd < 0) return gcs_result(env, -1);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return gcs_number(env, -error);
  }
  return gcs_number(env, fd);
}

void init_uevent(napi_env env, napi_value exports) {
  static const gcs_export table[] = {{"ueventSocket", uevent_socket}};
  GCS_DEFINE(table);
}
