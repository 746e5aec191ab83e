#include "relay_tee.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool relay_tee_open(struct relay_tee *tee) {
  return pipe2(tee->side, O_CLOEXEC | O_NONBLOCK) == 0;
}

void relay_tee_close(struct relay_tee *tee) {
  if (tee->side[0] >= 0) close(tee->side[0]);
  if (tee->side[1] >= 0) close(tee->side[1]);
  tee->side[0] = tee->side[1] = -1;
  tee->ahead = 0;
}

static void write_file(struct relay_tee *tee, const char *data, size_t length) {
  while (tee->file >= 0 && length > 0) {
    ssize_t n = write(tee->file, data, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      atomic_store(&tee->file_error, n < 0 ? errno : EIO);
      tee->file = -1;
      return;
    }
    data += n;
    length -= (size_t)n;
  }
}

void relay_tee_write(struct relay_tee *tee, const char *data, size_t length) {
  write_file(tee, data, length);
  if (tee->log == NULL) return;
  // Unlike the file it goes on: entries stand for themselves, and space may come back.
  const int error = cri_log_write(tee->log, tee->stream, data, length);
  if (error != 0 && atomic_load(&tee->log_error) == 0) atomic_store(&tee->log_error, error);
}

ssize_t relay_tee_copy(struct relay_tee *copies, int pipe, size_t length, char *buffer,
                       size_t buffer_size) {
  // tee(2) duplicates without consuming, so that no byte is ever out of the pipe and neither in the
  // destination nor in the logs: who is killed in between leaves them to come again.
  const ssize_t copied = tee(pipe, copies->side[1], length, SPLICE_F_NONBLOCK);
  if (copied <= 0) return copied;
  for (size_t left = (size_t)copied; left > 0;) {
    ssize_t n = read(copies->side[0], buffer, left < buffer_size ? left : buffer_size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // cannot be: they are in the pipe
    relay_tee_write(copies, buffer, (size_t)n);
    left -= (size_t)n;
  }
  copies->ahead = (size_t)copied;
  return copied;
}
