// uv_poll handles: the event loop watches a descriptor, no thread blocks.
#include <poll.h>
#include <uv.h>

#include "native.h"

// One handle. The strong reference `self` keeps the JavaScript object alive until pollClose, or a
// poll that nobody references would be collected and silently stop. It is freed when both the
// event loop and the garbage collector have let go of it.
typedef struct {
  uv_poll_t handle;
  napi_env env;
  napi_ref self;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  int fd;
  int events;
  bool closing;
  bool loop_done;
  bool object_done;
} poll_watch;

static const napi_type_tag POLL_TAG = {0x6763735f706f6c6cULL, 0x9c1f0e6a54d2b837ULL};

static void release(poll_watch *watch) {
  if (watch->loop_done && watch->object_done) free(watch);
}

static void on_closed(uv_handle_t *handle) {
  poll_watch *watch = handle->data;
  napi_handle_scope scope;
  napi_open_handle_scope(watch->env, &scope);
  napi_async_destroy(watch->env, watch->context);
  napi_close_handle_scope(watch->env, scope);
  // The environment waits for this before it goes away, so everything above was still valid.
  napi_remove_async_cleanup_hook(watch->cleanup);
  watch->loop_done = true;
  release(watch);
}

static void close_watch(poll_watch *watch) {
  if (watch->closing) return;
  watch->closing = true;
  uv_poll_stop(&watch->handle);
  napi_delete_reference(watch->env, watch->callback);
  napi_delete_reference(watch->env, watch->self);
  uv_close((uv_handle_t *)&watch->handle, on_closed);
}

static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  close_watch(data);
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  poll_watch *watch = data;
  watch->object_done = true;
  release(watch);
}

static int short_events(int uv_events) {
  int events = 0;
  if (uv_events & UV_READABLE) events |= POLLIN;
  if (uv_events & UV_WRITABLE) events |= POLLOUT;
  if (uv_events & UV_DISCONNECT) events |= POLLRDHUP;
  if (uv_events & UV_PRIORITIZED) events |= POLLPRI;
  return events;
}

// libuv folds POLLHUP into the other bits and reports POLLERR as UV_EBADF (and stops the handle),
// so the truth is asked from poll(2) itself.
static void on_ready(uv_poll_t *handle, int status, int uv_events) {
  poll_watch *watch = handle->data;
  struct pollfd now = {.fd = watch->fd, .events = (short)short_events(watch->events)};
  int count;
  RETRY(count, poll(&now, 1, 0));
  // The kernel forgets such an event when it is looked at: the loop's look was the one that counts.
  if (count == 0 && (uv_events & UV_PRIORITIZED)) {
    now.revents = POLLPRI;
    count = 1;
  }
  // Somebody took what was there since the loop looked: nothing to report.
  if (count == 0 && status == 0) return;
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value function, self, arguments[1];
  if (napi_get_reference_value(env, watch->callback, &function) == napi_ok &&
      napi_get_reference_value(env, watch->self, &self) == napi_ok) {
    arguments[0] = gcs_number(env, count > 0 ? now.revents : POLLERR);
    if (napi_make_callback(env, watch->context, self, function, 1, arguments, NULL) == napi_pending_exception) {
      napi_value error;
      napi_get_and_clear_last_exception(env, &error);
      napi_fatal_exception(env, error);
    }
  }
  napi_close_handle_scope(env, scope);
}

static poll_watch *watch_of(napi_env env, napi_value value) {
  bool ours = false;
  void *data = NULL;
  if (napi_check_object_type_tag(env, value, &POLL_TAG, &ours) == napi_ok && ours)
    napi_get_value_external(env, value, &data);
  if (data == NULL) napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "native call: expected a poll handle");
  return data;
}

// pollNew(fd, uv events, callback(revents)) -> handle, stopped, or -errno
GCS_FUNCTION(poll_new) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  INT_ARG(events, 1);
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return gcs_number(env, -ENOSYS);
  poll_watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return gcs_number(env, -ENOMEM);
  int result = uv_poll_init(loop, &watch->handle, fd);
  if (result < 0) {
    free(watch);
    return gcs_number(env, result);
  }
  watch->env = env;
  watch->fd = fd;
  watch->events = events;
  watch->handle.data = watch;
  napi_value name, self;
  napi_create_string_utf8(env, "GcsFdPoll", NAPI_AUTO_LENGTH, &name);
  napi_create_external(env, watch, on_collected, NULL, &self);
  napi_type_tag_object(env, self, &POLL_TAG);
  napi_create_reference(env, self, 1, &watch->self);
  napi_create_reference(env, args[2], 1, &watch->callback);
  napi_async_init(env, NULL, name, &watch->context);
  napi_add_async_cleanup_hook(env, on_environment_end, watch, &watch->cleanup);
  return self;
}

GCS_FUNCTION(poll_start) {
  ARGUMENTS(1);
  poll_watch *watch = watch_of(env, args[0]);
  if (watch == NULL) return NULL;
  if (watch->closing) return gcs_number(env, -EBADF);
  return gcs_number(env, uv_poll_start(&watch->handle, watch->events, on_ready));
}

// pollWant(handle, uv events): what it watches for from now on; 0 is nothing.
GCS_FUNCTION(poll_want) {
  ARGUMENTS(2);
  poll_watch *watch = watch_of(env, args[0]);
  if (watch == NULL) return NULL;
  INT_ARG(events, 1);
  if (watch->closing) return gcs_number(env, -EBADF);
  watch->events = events;
  return gcs_number(env, events == 0 ? uv_poll_stop(&watch->handle) : uv_poll_start(&watch->handle, events, on_ready));
}

GCS_FUNCTION(poll_stop) {
  ARGUMENTS(1);
  poll_watch *watch = watch_of(env, args[0]);
  if (watch == NULL) return NULL;
  if (watch->closing) return gcs_number(env, 0);
  return gcs_number(env, uv_poll_stop(&watch->handle));
}

GCS_FUNCTION(poll_ref) {
  ARGUMENTS(2);
  poll_watch *watch = watch_of(env, args[0]);
  if (watch == NULL) return NULL;
  BOOL_ARG(keep_alive, 1);
  if (watch->closing) return gcs_number(env, 0);
  if (keep_alive)
    uv_ref((uv_handle_t *)&watch->handle);
  else
    uv_unref((uv_handle_t *)&watch->handle);
  return gcs_number(env, 0);
}

GCS_FUNCTION(poll_close) {
  ARGUMENTS(1);
  poll_watch *watch = watch_of(env, args[0]);
  if (watch == NULL) return NULL;
  close_watch(watch);
  return gcs_number(env, 0);
}

// pollNow(fd, poll(2) events) -> revents at this moment
GCS_FUNCTION(poll_now) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(events, 1);
  struct pollfd now = {.fd = fd, .events = (short)events};
  int count;
  RETRY(count, poll(&now, 1, 0));
  return gcs_result(env, count < 0 ? count : now.revents);
}

void init_poll(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"pollNew", poll_new}, {"pollStart", poll_start}, {"pollStop", poll_stop},
      {"pollRef", poll_ref}, {"pollClose", poll_close}, {"pollNow", poll_now},
      {"pollWant", poll_want},
  };
  GCS_DEFINE(table);
}
