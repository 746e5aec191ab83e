// One direction of a stream: moves bytes from one descriptor to another until an end is reached.
// Plain C on system calls alone; the thread, the event loop and JavaScript are relay.c's business.
#ifndef GCS_RELAY_PUMP_H
#define GCS_RELAY_PUMP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay_tee.h"

// Values are part of the interface to src/os/relay.ts.
enum relay_end {
  RELAY_EOF = 0,
  RELAY_DESTINATION_CLOSED = 1,
  RELAY_CANCELLED = 2,
  RELAY_ERROR = 3,
};

enum relay_flags {
  RELAY_SPLICE = 1,             // splice(2); falls back to read and write where the kernel cannot
  RELAY_WATCH_DESTINATION = 2,  // end when the destination's peer goes, also while the source is silent
  RELAY_EIO_IS_EOF = 4,         // pty masters, see pty(7)
};

struct relay_pump {
  // Set before the pump runs, not changed by it. The descriptors are the caller's and non-blocking.
  int source;
  int destination;
  int through[2];  // pipe for what is between source and destination, its ends; -1: none
  int sink;        // takes the place of a destination whose peer has gone; -1: then the pump ends
  int wake;        // eventfd that is written after `cancel` or `barriers_wanted` changed
  unsigned flags;
  void (*on_barrier)(struct relay_pump *pump, uint32_t sequence);
  void (*on_news)(struct relay_pump *pump);  // `lost` or an error of `tee` has been set
  struct relay_tee tee;

  // Shared with other threads while the pump runs.
  _Atomic uint64_t bytes;           // delivered to the destination
  _Atomic int lost;                 // errno with which the destination went and the sink came
  _Atomic bool cancel;
  _Atomic uint32_t barriers_wanted; // sequence number of the latest barrier asked for

  // The result; valid once relay_pump_run has returned.
  enum relay_end end;
  int error;             // errno, 0 for none
  uint64_t undelivered;  // bytes taken from the source that did not reach the destination; those
                         // that are in `through` are there still

  // The pump's own.
  bool source_is_pipe;
  short hangup_interest;   // POLLRDHUP until the peer is known to have only half-closed
  uint32_t barrier_open;   // sequence of the barrier being waited for, 0 for none
  uint32_t barrier_done;
  uint64_t barrier_target; // `bytes` at which everything of the barrier's moment is delivered
  bool tee_told;           // an error of `tee` was news
  size_t held;             // bytes in `through`
  size_t logged;           // bytes the logs have already, of those that come next
  char *buffer;
  size_t head, tail;       // the part of the buffer that is read but not written
  uint64_t moved_at;       // CLOCK_MONOTONIC of the last transfer, in nanoseconds
  unsigned small_run;      // small transfers in close succession
};

// Runs until the end; blocks in poll(2) only. Signals should be blocked in the calling thread.
void relay_pump_run(struct relay_pump *pump);

#endif
