// Stream sockets of the unix and vsock families, descriptor passing. Every socket made here is
// non-blocking and close-on-exec.
#include <string.h>
#include <sys/socket.h>
// Older versions of it need what stands before.
#include <linux/vm_sockets.h>
#include <sys/un.h>
#include <unistd.h>

#include "native.h"

// The kernel's SCM_MAX_FD: no message carries more.
#define MAX_PASSED 253

GCS_FUNCTION(stream_socket) {
  ARGUMENTS(1);
  INT_ARG(family, 0);
  return gcs_result(env, socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static struct sockaddr_vm vsock_address(uint32_t cid, uint32_t port) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
  return address;
}

GCS_FUNCTION(bind_vsock) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  UINT_ARG(cid, 1);
  UINT_ARG(port, 2);
  struct sockaddr_vm address = vsock_address(cid, port);
  return gcs_result(env, bind(fd, (struct sockaddr *)&address, sizeof address));
}

GCS_FUNCTION(connect_vsock) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  UINT_ARG(cid, 1);
  UINT_ARG(port, 2);
  struct sockaddr_vm address = vsock_address(cid, port);
  return gcs_result(env, connect(fd, (struct sockaddr *)&address, sizeof address));
}

// The CID of the machine at the other end of a vsock connection.
GCS_FUNCTION(vsock_peer_cid) {
  ARGUMENTS(1);
  INT_ARG(fd, 0);
  struct sockaddr_vm address = {0};
  socklen_t size = sizeof address;
  if (getpeername(fd, (struct sockaddr *)&address, &size) < 0) return gcs_result(env, -1);
  if (address.svm_family != AF_VSOCK) return gcs_number(env, -EAFNOSUPPORT);
  return gcs_number(env, address.svm_cid);
}

// False with errno set (and no exception) when the path does not fit into sun_path with its NUL.
static bool unix_address(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (length == 0 || length >= sizeof address->sun_path) {
    errno = length == 0 ? ENOENT : ENAMETOOLONG;
    return false;
  }
  memcpy(address->sun_path, path, length);
  return true;
}

typedef int (*address_call)(int, const struct sockaddr *, socklen_t);

static napi_value with_unix_address(napi_env env, napi_callback_info info, address_call call) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  char *path = gcs_string(env, args[1]);
  if (path == NULL) return NULL;
  struct sockaddr_un address;
  int result = unix_address(path, &address) ? call(fd, (struct sockaddr *)&address, sizeof address) : -1;
  napi_value number = gcs_result(env, result);
  free(path);
  return number;
}

// How a connect would go, without one: a datagram socket cannot connect to a stream listener, but
// the kernel looks for the owner of the file first. -ECONNREFUSED: nobody has it, -EPROTOTYPE:
// somebody does, who sees nothing of this.
static int probe_address(int unused, const struct sockaddr *address, socklen_t size) {
  (void)unused;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int result = connect(fd, address, size);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

GCS_FUNCTION(probe_unix) { return with_unix_address(env, info, probe_address); }
GCS_FUNCTION(bind_unix) { return with_unix_address(env, info, bind); }
GCS_FUNCTION(connect_unix) { return with_unix_address(env, info, connect); }

GCS_FUNCTION(listen_socket) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(backlog, 1);
  return gcs_result(env, listen(fd, backlog));
}

GCS_FUNCTION(accept_socket) {
  ARGUMENTS(1);
  INT_ARG(fd, 0);
  int accepted;
  RETRY(accepted, accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
  return gcs_result(env, accepted);
}

// SO_ERROR as -errno, and 0 when the socket has none: how a non-blocking connect ended.
GCS_FUNCTION(socket_error) {
  ARGUMENTS(1);
  INT_ARG(fd, 0);
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return gcs_result(env, -1);
  return gcs_number(env, -error);
}

GCS_FUNCTION(shutdown_socket) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(how, 1);
  return gcs_result(env, shutdown(fd, how));
}

static napi_value pair_of(napi_env env, napi_callback_info info, int type) {
  ARGUMENTS(1);
  INTS_ARG(out, length, 2, 0);
  (void)length;
  int fds[2];
  int result = socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
  if (result == 0) {
    out[0] = fds[0];
    out[1] = fds[1];
  }
  return gcs_result(env, result);
}

// socketPair(out: [one, other]), packetPair(out: [one, other])
GCS_FUNCTION(socket_pair) { return pair_of(env, info, SOCK_STREAM); }
GCS_FUNCTION(packet_pair) { return pair_of(env, info, SOCK_SEQPACKET); }

static size_t take_descriptors(struct msghdr *message, int32_t *out, size_t room) {
  size_t taken = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      if (taken < room)
        out[taken++] = fd;
      else
        close(fd);
    }
  }
  return taken;
}

// receiveFds(fd, bytes, out: [count, truncated, fd...]) -> bytes received. Descriptors that have no
// room in `out` are closed and `truncated` is 1.
GCS_FUNCTION(receive_fds) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  INTS_ARG(out, length, 2, 2);
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(MAX_PASSED * sizeof(int))];
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t received;
  RETRY(received, recvmsg(fd, &message, MSG_CMSG_CLOEXEC));
  if (received < 0) return gcs_result(env, received);
  // Room for one more than asked for tells "exactly full" from "too many".
  int32_t passed[MAX_PASSED];
  size_t count = take_descriptors(&message, passed, MAX_PASSED);
  size_t room = length - 2;
  for (size_t i = 0; i < count; i++) {
    if (i < room)
      out[2 + i] = passed[i];
    else
      close(passed[i]);
  }
  out[0] = (int32_t)(count < room ? count : room);
  out[1] = count > room || (message.msg_flags & MSG_CTRUNC) != 0;
  return gcs_number(env, received);
}

// sendFds(fd, bytes, fds) -> bytes sent
GCS_FUNCTION(send_fds) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  INTS_ARG(fds, count, 0, 2);
  if (count > MAX_PASSED) return gcs_number(env, -EINVAL);
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(MAX_PASSED * sizeof(int))];
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  ssize_t sent;
  RETRY(sent, sendmsg(fd, &message, MSG_NOSIGNAL));
  return gcs_result(env, sent);
}

void init_socket(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"socket", stream_socket},       {"bindVsock", bind_vsock},
      {"connectVsock", connect_vsock}, {"vsockPeerCid", vsock_peer_cid},
      {"bindUnix", bind_unix},
      {"connectUnix", connect_unix},   {"probeUnix", probe_unix},
      {"listen", listen_socket},
      {"accept", accept_socket},       {"socketError", socket_error},
      {"shutdown", shutdown_socket},   {"socketPair", socket_pair},
      {"packetPair", packet_pair},
      {"receiveFds", receive_fds},     {"sendFds", send_fds},
  };
  GCS_DEFINE(table);
}
