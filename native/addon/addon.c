// The addon's table of contents.
//
// Layout: every native/addon/*.c is compiled into one shared object, build/native/gcs_native.node
// (scripts/build-native.ts); programs of their own (init) live beside this folder, not in it.
// Each file owns one concern and exports `void init_X(napi_env env, napi_value exports)`, which
// adds its functions with GCS_DEFINE; declare it and call it here. native.h holds the helpers and
// the calling convention; src/os/native.ts types the functions.
//
//   fd.c       descriptors: open, close, dup, pipe, FIONREAD, F_SETPIPE_SZ
//   socket.c   unix and vsock sockets, SCM_RIGHTS
//   poll.c     uv_poll handles
//   process.c  spawn, pidfd, waitid, child subreaper
//   pty.c      pseudo-terminals
//   memory.c   shared memory as array buffers
//   event.c    epoll instances, event counters, reads and writes without exceptions
//   netlink.c  sockets in other network namespaces, netlink, DHCP's packets
//   job.c      system calls on pool threads, as promises
//   mount.c    mounts, openat2
//   dm.c       device mapper
//   uevent.c   announcements of devices
//   inotify.c  what happens to the names in a directory
//   relay.c    threads that move a stream (relay_pump.c is what such a thread does)
#include "native.h"

void init_fd(napi_env env, napi_value exports);
void init_socket(napi_env env, napi_value exports);
void init_poll(napi_env env, napi_value exports);
void init_process(napi_env env, napi_value exports);
void init_pty(napi_env env, napi_value exports);
void init_relay(napi_env env, napi_value exports);
void init_cri_log(napi_env env, napi_value exports);
void init_memory(napi_env env, napi_value exports);
void init_event(napi_env env, napi_value exports);
void init_netlink(napi_env env, napi_value exports);
void init_mount(napi_env env, napi_value exports);
void init_dm(napi_env env, napi_value exports);
void init_uevent(napi_env env, napi_value exports);
void init_inotify(napi_env env, napi_value exports);

NAPI_MODULE_INIT() {
  init_fd(env, exports);
  init_socket(env, exports);
  init_poll(env, exports);
  init_process(env, exports);
  init_pty(env, exports);
  init_relay(env, exports);
  init_cri_log(env, exports);
  init_memory(env, exports);
  init_event(env, exports);
  init_netlink(env, exports);
  init_mount(env, exports);
  init_dm(env, exports);
  init_uevent(env, exports);
  init_inotify(env, exports);
  return exports;
}
