// What a pump waits for, and how it ends; of use to relay_pump.c alone.
#ifndef GCS_RELAY_WAIT_H
#define GCS_RELAY_WAIT_H

#include "relay_pump.h"

enum relay_side { RELAY_SOURCE, RELAY_DESTINATION };

// All that ends a pump goes through here. False, so that the loops can `return relay_finish(…)`.
bool relay_finish(struct relay_pump *pump, enum relay_end end, int error);
bool relay_finish_source(struct relay_pump *pump, int error);
// The destination failed. True when its peer has gone and the rest goes to the sink.
bool relay_lose_destination(struct relay_pump *pump, int error);

// Blocks until `side` is ready for a transfer. False when the pump has ended.
bool relay_wait_for(struct relay_pump *pump, enum relay_side side);
// Is there more of the source within a moment?
bool relay_more_follows(struct relay_pump *pump);

// Bytes that have left the source and are not in the destination.
uint64_t relay_in_hand(const struct relay_pump *pump);
// So many more are in the destination.
void relay_count(struct relay_pump *pump, size_t delivered);
// Slows down a stream of small transfers, of which `moved` bytes were the latest.
void relay_pace(struct relay_pump *pump, size_t moved);

#endif
