// Many descriptors through one: epoll instances of our own, event counters, and plain reads and
// writes whose EAGAIN is a number and not an exception.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "native.h"

#define MAX_EVENTS 256

GCS_FUNCTION(event_fd) {
  (void)info;
  return gcs_result(env, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

GCS_FUNCTION(epoll_new) {
  (void)info;
  return gcs_result(env, epoll_create1(EPOLL_CLOEXEC));
}

// epollAdd(epoll, fd, events, id): edge-triggered; `id` comes back with the events.
GCS_FUNCTION(epoll_add) {
  ARGUMENTS(4);
  INT_ARG(epoll, 0);
  INT_ARG(fd, 1);
  UINT_ARG(events, 2);
  UINT_ARG(id, 3);
  struct epoll_event event = {.events = events | EPOLLET, .data.u64 = id};
  return gcs_result(env, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

GCS_FUNCTION(epoll_remove) {
  ARGUMENTS(2);
  INT_ARG(epoll, 0);
  INT_ARG(fd, 1);
  return gcs_result(env, epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
}

// epollTake(epoll, out: [id, events]...) -> how many there were; never waits.
GCS_FUNCTION(epoll_take) {
  ARGUMENTS(2);
  INT_ARG(epoll, 0);
  INTS_ARG(out, length, 2, 1);
  struct epoll_event events[MAX_EVENTS];
  size_t room = length / 2 < MAX_EVENTS ? length / 2 : MAX_EVENTS;
  int count;
  RETRY(count, epoll_wait(epoll, events, (int)room, 0));
  for (int i = 0; i < count; i++) {
    out[2 * i] = (int32_t)events[i].data.u64;
    out[2 * i + 1] = (int32_t)events[i].events;
  }
  return gcs_result(env, count);
}

GCS_FUNCTION(read_bytes) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  ssize_t count;
  RETRY(count, read(fd, bytes, size));
  return gcs_result(env, count);
}

GCS_FUNCTION(write_bytes) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  BYTES_ARG(bytes, size, 1);
  ssize_t count;
  RETRY(count, write(fd, bytes, size));
  return gcs_result(env, count);
}

void init_event(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"eventFd", event_fd},         {"epollNew", epoll_new},   {"epollAdd", epoll_add},
      {"epollRemove", epoll_remove}, {"epollTake", epoll_take}, {"readBytes", read_bytes},
      {"writeBytes", write_bytes},
  };
  GCS_DEFINE(table);
}
