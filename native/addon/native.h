// Helpers shared by the files of the addon: arguments in, results out.
//
// Convention: a function returns a number, `-errno` for a failed system call; further results go
// into an Int32Array that the caller passes in. Only a wrong argument type throws, because a
// missing descriptor must never be read as descriptor 0.
#ifndef GCS_NATIVE_H
#define GCS_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

// A function callable from JavaScript.
#define GCS_FUNCTION(name) static napi_value name(napi_env env, napi_callback_info info)

// Reads up to n arguments into args[]; those not given are undefined.
#define ARGUMENTS(n)                                                                     \
  napi_value args[n];                                                                    \
  size_t argument_count = (n);                                                           \
  napi_get_cb_info(env, info, &argument_count, args, NULL, NULL)

// Declare a variable from args[index]; return with a pending TypeError when it has another type.
#define INT_ARG(name, index)                                                             \
  int32_t name;                                                                          \
  if (!gcs_int(env, args[index], &name)) return NULL
#define UINT_ARG(name, index)                                                            \
  uint32_t name;                                                                         \
  if (!gcs_uint(env, args[index], &name)) return NULL
#define BOOL_ARG(name, index)                                                            \
  bool name;                                                                             \
  if (!gcs_bool(env, args[index], &name)) return NULL
// Any typed array or Buffer, as bytes.
#define BYTES_ARG(name, size, index)                                                     \
  uint8_t *name;                                                                         \
  size_t size;                                                                           \
  if (!gcs_bytes(env, args[index], &name, &size)) return NULL
// An Int32Array of at least `least` elements; `length` becomes how many it has.
#define INTS_ARG(name, length, least, index)                                             \
  int32_t *name;                                                                         \
  size_t length;                                                                         \
  if (!gcs_ints(env, args[index], (least), &name, &length)) return NULL

bool gcs_int(napi_env env, napi_value value, int32_t *out);
bool gcs_uint(napi_env env, napi_value value, uint32_t *out);
bool gcs_bool(napi_env env, napi_value value, bool *out);
bool gcs_bytes(napi_env env, napi_value value, uint8_t **data, size_t *size);
bool gcs_ints(napi_env env, napi_value value, size_t least, int32_t **data, size_t *length);

// A malloc'ed UTF-8 copy of a string, to be freed by the caller; NULL with a pending exception
// when the value is no string or memory is out.
char *gcs_string(napi_env env, napi_value value);
// A malloc'ed, NULL-terminated copy of an array of strings; NULL as above.
char **gcs_strings(napi_env env, napi_value value);
void gcs_free_strings(char **strings);
// True for undefined and null.
bool gcs_is_nullish(napi_env env, napi_value value);

napi_value gcs_number(napi_env env, int64_t value);
// The result of a system call: `result` itself, or -errno when it is negative.
static inline napi_value gcs_result(napi_env env, long result) {
  return gcs_number(env, result < 0 ? -(int64_t)errno : (int64_t)result);
}

typedef struct {
  const char *name;
  napi_callback function;
} gcs_export;
void gcs_define(napi_env env, napi_value exports, const gcs_export *table, size_t count);
#define GCS_DEFINE(table)                                                                \
  gcs_define(env, exports, (table), sizeof(table) / sizeof((table)[0]))

// Repeats a system call that a signal interrupted.
#define RETRY(result, call)                                                              \
  do {                                                                                   \
    (result) = (call);                                                                   \
  } while ((result) < 0 && errno == EINTR)

#endif
