// Pseudo-terminals, pty(7).
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "native.h"

// openPty(out: [master, number of the slave in /dev/pts])
GCS_FUNCTION(open_pty) {
  ARGUMENTS(1);
  INTS_ARG(out, length, 2, 0);
  (void)length;
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return gcs_result(env, -1);
  unsigned int number = 0;
  if (unlockpt(master) < 0 || ioctl(master, TIOCGPTN, &number) < 0) {
    int error = errno;
    close(master);
    return gcs_number(env, -error);
  }
  out[0] = master;
  out[1] = (int32_t)number;
  return gcs_number(env, 0);
}

GCS_FUNCTION(set_window_size) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  UINT_ARG(columns, 1);
  UINT_ARG(rows, 2);
  struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
  return gcs_result(env, ioctl(fd, TIOCSWINSZ, &size));
}

// getWindowSize(fd, out: [columns, rows])
GCS_FUNCTION(get_window_size) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INTS_ARG(out, length, 2, 1);
  (void)length;
  struct winsize size;
  int result = ioctl(fd, TIOCGWINSZ, &size);
  if (result == 0) {
    out[0] = size.ws_col;
    out[1] = size.ws_row;
  }
  return gcs_result(env, result);
}

void init_pty(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"openPty", open_pty},
      {"setWindowSize", set_window_size},
      {"getWindowSize", get_window_size},
  };
  GCS_DEFINE(table);
}
