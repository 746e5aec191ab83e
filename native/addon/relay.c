// Relays: a thread for each direction of a stream (relay_pump.c), started, watched and cancelled
// from the event loop.
#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

#include "cri_log_js.h"
#include "native.h"
#include "relay_pump.h"

// The pump needs about 1 KiB of it; the C library's thread descriptor and Node's thread-local
// storage live here too. Only touched pages cost memory.
#define STACK_SIZE (128u << 10)

// One relay. `self` keeps the JavaScript object while the thread runs. Freed when both the event
// loop and the garbage collector have let go of it.
typedef struct {
  struct relay_pump pump;
  uv_async_t async;
  pthread_t thread;
  napi_env env;
  napi_ref self;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  _Atomic bool finished;
  _Atomic uint32_t barrier_done;
  bool running;  // the thread was started and not yet joined
  bool closing;
  bool loop_done;
  bool object_done;
} relay;

static const napi_type_tag RELAY_TAG = {0x6763735f72656c61ULL, 0x51b7d0c2e8f3496aULL};

static void release(relay *each) {
  if (each->loop_done && each->object_done) free(each);
}

static void on_closed(uv_handle_t *handle) {
  relay *each = handle->data;
  napi_handle_scope scope;
  napi_open_handle_scope(each->env, &scope);
  napi_async_destroy(each->env, each->context);
  napi_close_handle_scope(each->env, scope);
  napi_remove_async_cleanup_hook(each->cleanup);
  each->loop_done = true;
  release(each);
}

// Gives everything back but the memory. The thread has ended or is ending: joining it here means
// that whoever hears of the end finds no thread of it left.
static void close_relay(relay *each) {
  if (each->closing) return;
  each->closing = true;
  if (each->running) pthread_join(each->thread, NULL);
  each->running = false;
  close(each->pump.wake);
  if (each->pump.tee.log != NULL) cri_log_release(each->pump.tee.log);
  each->pump.tee.log = NULL;
  napi_delete_reference(each->env, each->callback);
  napi_delete_reference(each->env, each->self);
  uv_close((uv_handle_t *)&each->async, on_closed);
}

static void wake(relay *each) {
  const uint64_t one = 1;
  // Cannot fail: the counter would have to be near 2^64 (EAGAIN).
  if (write(each->pump.wake, &one, sizeof one) < 0) return;
}

static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  relay *each = data;
  atomic_store(&each->pump.cancel, true);
  if (each->running) wake(each);
  close_relay(each);
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  relay *each = data;
  each->object_done = true;
  release(each);
}

static void on_barrier(struct relay_pump *pump, uint32_t sequence) {
  relay *each = (relay *)((char *)pump - offsetof(relay, pump));
  atomic_store(&each->barrier_done, sequence);
  uv_async_send(&each->async);
}

static void *thread_main(void *data) {
  relay *each = data;
  prctl(PR_SET_NAME, "gcs-relay");
  relay_pump_run(&each->pump);
  atomic_store(&each->finished, true);
  uv_async_send(&each->async);
  return NULL;
}

static void on_news(struct relay_pump *pump) {
  relay *each = (relay *)((char *)pump - offsetof(relay, pump));
  uv_async_send(&each->async);
}

enum { BARRIER, END, ERROR, UNDELIVERED, FILE_ERROR, LOG_ERROR, LOST, CALLBACK_ARGUMENTS };

// callback(barrier sequence, end, errno, undelivered, errno of the file, errno of the log, errno with
// which the destination was lost). `end` is -1 while it runs; at the end it is called once more.
static void on_wake(uv_async_t *handle) {
  relay *each = handle->data;
  napi_env env = each->env;
  if (each->closing) return;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value function, self, arguments[CALLBACK_ARGUMENTS];
  napi_get_reference_value(env, each->callback, &function);
  napi_get_reference_value(env, each->self, &self);
  const bool finished = atomic_load(&each->finished);
  const struct relay_pump *pump = &each->pump;
  if (finished) close_relay(each);
  arguments[BARRIER] = gcs_number(env, atomic_load(&each->barrier_done));
  arguments[END] = gcs_number(env, finished ? (int)pump->end : -1);
  arguments[ERROR] = gcs_number(env, finished ? pump->error : 0);
  arguments[UNDELIVERED] = gcs_number(env, finished ? (int64_t)pump->undelivered : 0);
  arguments[FILE_ERROR] = gcs_number(env, atomic_load(&pump->tee.file_error));
  arguments[LOG_ERROR] = gcs_number(env, atomic_load(&pump->tee.log_error));
  arguments[LOST] = gcs_number(env, atomic_load(&pump->lost));
  if (napi_make_callback(env, each->context, self, function, CALLBACK_ARGUMENTS, arguments, NULL) ==
      napi_pending_exception) {
    napi_value error;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

static int set_non_block(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK)) return flags;
  return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

// With every signal blocked: SIGCHLD and the like belong to Node's threads, and a SIGPIPE that
// splice(2) raises stays with the thread and goes with it.
static int start_thread(relay *each) {
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  error = pthread_attr_setstacksize(&attributes, STACK_SIZE);
  if (error == 0) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&each->thread, &attributes, thread_main, each);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  pthread_attr_destroy(&attributes);
  each->running = error == 0;
  return error;
}

static relay *relay_of(napi_env env, napi_value value) {
  bool ours = false;
  void *data = NULL;
  if (napi_check_object_type_tag(env, value, &RELAY_TAG, &ours) == napi_ok && ours)
    napi_get_value_external(env, value, &data);
  if (data == NULL)
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "native call: expected a relay");
  return data;
}

// Elements of the array that relayStart takes; -1 is none.
enum { SOURCE, DESTINATION, TEE, THROUGH_READ, THROUGH_WRITE, SINK, DESCRIPTORS };

// relayStart(descriptors, flags, CRI log or null, its stream, callback) -> handle, or -errno
GCS_FUNCTION(relay_start) {
  ARGUMENTS(5);
  INTS_ARG(fds, length, DESCRIPTORS, 0);
  UINT_ARG(flags, 1);
  UINT_ARG(stream, 3);
  struct cri_log *log = NULL;
  if (!gcs_is_nullish(env, args[2]) && (log = gcs_cri_log(env, args[2])) == NULL) return NULL;
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return gcs_number(env, -ENOSYS);
  if (set_non_block(fds[SOURCE]) < 0 || set_non_block(fds[DESTINATION]) < 0)
    return gcs_result(env, -1);
  relay *each = calloc(1, sizeof *each);
  if (each == NULL) return gcs_number(env, -ENOMEM);
  each->pump.source = fds[SOURCE];
  each->pump.destination = fds[DESTINATION];
  each->pump.through[0] = fds[THROUGH_READ];
  each->pump.through[1] = fds[THROUGH_WRITE];
  each->pump.sink = fds[SINK];
  each->pump.tee.file = fds[TEE];
  each->pump.tee.stream = stream == 0 ? CRI_LOG_STDOUT : CRI_LOG_STDERR;
  each->pump.on_news = on_news;
  each->pump.flags = flags;
  each->pump.on_barrier = on_barrier;
  each->env = env;
  each->async.data = each;
  each->pump.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int error = each->pump.wake < 0 ? errno : -uv_async_init(loop, &each->async, on_wake);
  if (error != 0) {
    if (each->pump.wake >= 0) close(each->pump.wake);
    free(each);
    return gcs_number(env, -error);
  }
  if (log != NULL) each->pump.tee.log = cri_log_share(log);
  napi_value name, self;
  napi_create_string_utf8(env, "GcsRelay", NAPI_AUTO_LENGTH, &name);
  napi_create_external(env, each, on_collected, NULL, &self);
  napi_type_tag_object(env, self, &RELAY_TAG);
  napi_create_reference(env, self, 1, &each->self);
  napi_create_reference(env, args[4], 1, &each->callback);
  napi_async_init(env, NULL, name, &each->context);
  napi_add_async_cleanup_hook(env, on_environment_end, each, &each->cleanup);
  error = start_thread(each);
  if (error != 0) {
    close_relay(each);
    return gcs_number(env, -error);
  }
  return self;
}

GCS_FUNCTION(relay_bytes) {
  ARGUMENTS(1);
  relay *each = relay_of(env, args[0]);
  if (each == NULL) return NULL;
  return gcs_number(env, (int64_t)atomic_load(&each->pump.bytes));
}

GCS_FUNCTION(relay_cancel) {
  ARGUMENTS(1);
  relay *each = relay_of(env, args[0]);
  if (each == NULL) return NULL;
  atomic_store(&each->pump.cancel, true);
  if (!each->closing) wake(each);
  return gcs_number(env, 0);
}

// relayBarrier(handle) -> its sequence number
GCS_FUNCTION(relay_barrier) {
  ARGUMENTS(1);
  relay *each = relay_of(env, args[0]);
  if (each == NULL) return NULL;
  uint32_t sequence = atomic_fetch_add(&each->pump.barriers_wanted, 1) + 1;
  if (!each->closing) wake(each);
  return gcs_number(env, sequence);
}

// bytesUnread(socket) -> SIOCOUTQ, or -errno
GCS_FUNCTION(bytes_unread) {
  ARGUMENTS(1);
  INT_ARG(fd, 0);
  int bytes = 0;
  int result = ioctl(fd, SIOCOUTQ, &bytes);
  return gcs_result(env, result < 0 ? result : bytes);
}

void init_relay(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"relayStart", relay_start},     {"relayBytes", relay_bytes},
      {"relayCancel", relay_cancel},   {"relayBarrier", relay_barrier},
      {"bytesUnread", bytes_unread},
  };
  GCS_DEFINE(table);
}
