// File descriptors: open, duplicate, pipes, what is waiting in them.
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "native.h"

GCS_FUNCTION(open_file) {
  ARGUMENTS(3);
  INT_ARG(flags, 1);
  UINT_ARG(mode, 2);
  char *path = gcs_string(env, args[0]);
  if (path == NULL) return NULL;
  int fd;
  RETRY(fd, open(path, flags | O_CLOEXEC, (mode_t)mode));
  napi_value result = gcs_result(env, fd);
  free(path);
  return result;
}

// Not repeated on EINTR: Linux has released the number by then (close(2), NOTES).
GCS_FUNCTION(close_fd) {
  ARGUMENTS(1);
  INT_ARG(fd, 0);
  return gcs_result(env, close(fd));
}

// At or above 3, so that a duplicate never becomes a standard stream that was closed.
GCS_FUNCTION(dup_fd) {
  ARGUMENTS(1);
  INT_ARG(fd, 0);
  return gcs_result(env, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

// dupOnto(fd, target): target becomes a duplicate of fd, inherited over exec as standard streams are.
GCS_FUNCTION(dup_onto) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(target, 1);
  int result;
  RETRY(result, dup3(fd, target, 0));
  return gcs_result(env, result);
}

GCS_FUNCTION(set_non_block) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  BOOL_ARG(on, 1);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return gcs_result(env, flags);
  return gcs_result(env, fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

// makePipe(nonBlockRead, nonBlockWrite, size or 0, out: [read, write])
GCS_FUNCTION(make_pipe) {
  ARGUMENTS(4);
  BOOL_ARG(non_block_read, 0);
  BOOL_ARG(non_block_write, 1);
  INT_ARG(size, 2);
  INTS_ARG(out, length, 2, 3);
  (void)length;
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return gcs_result(env, -1);
  if ((non_block_read && fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) ||
      (non_block_write && fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0) ||
      (size > 0 && fcntl(fds[1], F_SETPIPE_SZ, size) < 0)) {
    int error = errno;
    close(fds[0]);
    close(fds[1]);
    return gcs_number(env, -error);
  }
  out[0] = fds[0];
  out[1] = fds[1];
  return gcs_number(env, 0);
}

GCS_FUNCTION(bytes_readable) {
  ARGUMENTS(1);
  INT_ARG(fd, 0);
  int bytes = 0;
  int result = ioctl(fd, FIONREAD, &bytes);
  return gcs_result(env, result < 0 ? result : bytes);
}

void init_fd(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"open", open_file},          {"close", close_fd},   {"dup", dup_fd},
      {"setNonBlock", set_non_block}, {"makePipe", make_pipe}, {"bytesReadable", bytes_readable},
      {"dupOnto", dup_onto},
  };
  GCS_DEFINE(table);
}
