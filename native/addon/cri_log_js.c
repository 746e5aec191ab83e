#include "cri_log_js.h"


static const napi_type_tag CRI_LOG_TAG = {0x6763735f6372696cULL, 0x9e02b1d7c4a85f36ULL};

struct cri_log *gcs_cri_log(napi_env env, napi_value value) {
  bool ours = false;
  void *data = NULL;
  if (napi_check_object_type_tag(env, value, &CRI_LOG_TAG, &ours) == napi_ok && ours)
    napi_get_value_external(env, value, &data);
  struct cri_log *log = data == NULL ? NULL : *(struct cri_log **)data;
  if (log == NULL)
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "native call: expected an open log");
  return log;
}

static void close_log(struct cri_log **place) {
  if (*place != NULL) cri_log_release(*place);
  *place = NULL;
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  close_log(data);
  free(data);
}

// criLogOpen(directory, name, mode, most bytes of a file or 0, files) -> handle, or -errno
GCS_FUNCTION(cri_log_js_open) {
  ARGUMENTS(5);
  INT_ARG(directory, 0);
  UINT_ARG(mode, 2);
  UINT_ARG(max_files, 4);
  int64_t max_bytes = 0;
  if (napi_get_value_int64(env, args[3], &max_bytes) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "native call: expected a number");
    return NULL;
  }
  char *name = gcs_string(env, args[1]);
  if (name == NULL) return NULL;
  const struct cri_log_options options = {
      .directory = directory,
      .name = name,
      .mode = (mode_t)mode,
      .max_bytes = max_bytes < 0 ? 0 : (uint64_t)max_bytes,
      .max_files = max_files < 1 ? 1 : max_files,
  };
  struct cri_log **place = calloc(1, sizeof *place);
  const int error = place == NULL ? ENOMEM : cri_log_open(&options, place);
  free(name);
  if (error != 0) {
    free(place);
    return gcs_number(env, -error);
  }
  napi_value self;
  napi_create_external(env, place, on_collected, NULL, &self);
  napi_type_tag_object(env, self, &CRI_LOG_TAG);
  return self;
}

// criLogWrite(log, stream, bytes) -> 0 or -errno
GCS_FUNCTION(cri_log_js_write) {
  ARGUMENTS(3);
  struct cri_log *log = gcs_cri_log(env, args[0]);
  if (log == NULL) return NULL;
  UINT_ARG(stream, 1);
  BYTES_ARG(data, size, 2);
  return gcs_number(env, -cri_log_write(log, stream == 0 ? CRI_LOG_STDOUT : CRI_LOG_STDERR,
                                        (const char *)data, size));
}

GCS_FUNCTION(cri_log_js_reopen) {
  ARGUMENTS(1);
  struct cri_log *log = gcs_cri_log(env, args[0]);
  if (log == NULL) return NULL;
  return gcs_number(env, -cri_log_reopen(log));
}

// criLogClose(log); relays that write to it have shares of their own.
GCS_FUNCTION(cri_log_js_close) {
  ARGUMENTS(1);
  if (gcs_cri_log(env, args[0]) == NULL) return NULL;
  void *data = NULL;
  napi_get_value_external(env, args[0], &data);
  close_log(data);
  return gcs_number(env, 0);
}

// criLogCounts(log) -> [entries, lost, rotations, errno]
GCS_FUNCTION(cri_log_js_counts) {
  ARGUMENTS(1);
  struct cri_log *log = gcs_cri_log(env, args[0]);
  if (log == NULL) return NULL;
  const struct cri_log_counts counts = cri_log_count(log);
  const int64_t numbers[] = {(int64_t)counts.entries, (int64_t)counts.lost,
                             (int64_t)counts.rotations, counts.error};
  napi_value array;
  napi_create_array_with_length(env, 4, &array);
  for (uint32_t i = 0; i < 4; i++)
    napi_set_element(env, array, i, gcs_number(env, numbers[i]));
  return array;
}

void init_cri_log(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"criLogOpen", cri_log_js_open},
      {"criLogWrite", cri_log_js_write},
      {"criLogReopen", cri_log_js_reopen},
      {"criLogClose", cri_log_js_close},
      {"criLogCounts", cri_log_js_counts},
  };
  GCS_DEFINE(table);
}
