// inotify(7): what happens to the names in a directory.
#include <sys/inotify.h>

#include "native.h"

// inotifyInit() -> descriptor, non-blocking
GCS_FUNCTION(inotify_init_fd) {
  (void)info;
  return gcs_result(env, inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

// inotifyAdd(descriptor, path, mask) -> watch descriptor
GCS_FUNCTION(inotify_add) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  UINT_ARG(mask, 2);
  char *path = gcs_string(env, args[1]);
  if (path == NULL) return NULL;
  int result = inotify_add_watch(fd, path, mask);
  napi_value value = gcs_result(env, result);
  free(path);
  return value;
}

// inotifyRemove(descriptor, watch descriptor)
GCS_FUNCTION(inotify_remove) {
  ARGUMENTS(2);
  INT_ARG(fd, 0);
  INT_ARG(watch, 1);
  return gcs_result(env, inotify_rm_watch(fd, watch));
}

void init_inotify(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"inotifyInit", inotify_init_fd},
      {"inotifyAdd", inotify_add},
      {"inotifyRemove", inotify_remove},
  };
  GCS_DEFINE(table);
}
