// The copies of a stream: a log file as it is, and a log in the CRI's format.
#ifndef GCS_RELAY_TEE_H
#define GCS_RELAY_TEE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cri_log.h"

struct relay_tee {
  // Set before the pump runs.
  int file;             // -1: none, or stopped by an error
  struct cri_log *log;  // NULL: none
  enum cri_log_stream stream;

  // Readable by other threads.
  _Atomic int file_error;  // errno that stopped the file
  _Atomic int log_error;   // errno of the first entries that were lost

  // The pump's own.
  int side[2];   // pipe for the copy
  size_t ahead;  // bytes of the pipe's content that are in the logs already
};

static inline bool relay_tee_active(const struct relay_tee *tee) {
  return tee->file >= 0 || tee->log != NULL;
}

// False when there is no descriptor left for the side pipe.
bool relay_tee_open(struct relay_tee *tee);
void relay_tee_close(struct relay_tee *tee);

// Writes to the logs; errors are noted and hold nothing up.
void relay_tee_write(struct relay_tee *tee, const char *data, size_t length);

// Brings at most `length` bytes of what `pipe` holds to the logs, without taking them out of it, and
// says in `ahead` how many. The result of tee(2): 0 at the end, -1 with EAGAIN when it is empty.
ssize_t relay_tee_copy(struct relay_tee *copies, int pipe, size_t length, char *buffer,
                       size_t buffer_size);

#endif
