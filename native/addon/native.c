// Arguments and results, see native.h.
#include "native.h"

static bool reject(napi_env env, const char *expected) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", expected);
  return false;
}

bool gcs_int(napi_env env, napi_value value, int32_t *out) {
  if (napi_get_value_int32(env, value, out) == napi_ok) return true;
  return reject(env, "native call: expected a number");
}

bool gcs_uint(napi_env env, napi_value value, uint32_t *out) {
  if (napi_get_value_uint32(env, value, out) == napi_ok) return true;
  return reject(env, "native call: expected a number");
}

bool gcs_bool(napi_env env, napi_value value, bool *out) {
  if (napi_get_value_bool(env, value, out) == napi_ok) return true;
  return reject(env, "native call: expected a boolean");
}

static size_t element_size(napi_typedarray_type type) {
  switch (type) {
    case napi_int16_array:
    case napi_uint16_array:
      return 2;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array:
      return 4;
    case napi_float64_array:
    case napi_bigint64_array:
    case napi_biguint64_array:
      return 8;
    default:
      return 1;
  }
}

bool gcs_bytes(napi_env env, napi_value value, uint8_t **data, size_t *size) {
  napi_typedarray_type type;
  size_t length;
  void *start;
  bool is_typed = false;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env, value, &type, &length, &start, NULL, NULL) != napi_ok)
    return reject(env, "native call: expected a typed array");
  *data = start;
  *size = length * element_size(type);
  return true;
}

bool gcs_ints(napi_env env, napi_value value, size_t least, int32_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start;
  bool is_typed = false;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok ||
      type != napi_int32_array || *length < least)
    return reject(env, "native call: expected an Int32Array that is long enough");
  *data = start;
  return true;
}

char *gcs_string(napi_env env, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    reject(env, "native call: expected a string");
    return NULL;
  }
  char *text = malloc(length + 1);
  if (text == NULL) {
    napi_throw_error(env, "ENOMEM", "native call: out of memory");
    return NULL;
  }
  napi_get_value_string_utf8(env, value, text, length + 1, &length);
  return text;
}

void gcs_free_strings(char **strings) {
  if (strings == NULL) return;
  for (char **each = strings; *each != NULL; each++) free(*each);
  free(strings);
}

char **gcs_strings(napi_env env, napi_value value) {
  uint32_t count = 0;
  if (napi_get_array_length(env, value, &count) != napi_ok) {
    reject(env, "native call: expected an array of strings");
    return NULL;
  }
  char **strings = calloc((size_t)count + 1, sizeof *strings);
  if (strings == NULL) {
    napi_throw_error(env, "ENOMEM", "native call: out of memory");
    return NULL;
  }
  for (uint32_t i = 0; i < count; i++) {
    // One scope an element: an argument list of thousands must not pile up handles.
    napi_handle_scope scope;
    napi_value element;
    napi_open_handle_scope(env, &scope);
    strings[i] = napi_get_element(env, value, i, &element) == napi_ok ? gcs_string(env, element) : NULL;
    napi_close_handle_scope(env, scope);
    if (strings[i] == NULL) {
      gcs_free_strings(strings);
      return NULL;
    }
  }
  return strings;
}

bool gcs_is_nullish(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && (type == napi_undefined || type == napi_null);
}

napi_value gcs_number(napi_env env, int64_t value) {
  napi_value number = NULL;
  napi_create_int64(env, value, &number);
  return number;
}

void gcs_define(napi_env env, napi_value exports, const gcs_export *table, size_t count) {
  for (size_t i = 0; i < count; i++) {
    napi_value function;
    if (napi_create_function(env, table[i].name, NAPI_AUTO_LENGTH, table[i].function, NULL, &function) != napi_ok)
      return;
    napi_set_named_property(env, exports, table[i].name, function);
  }
}
