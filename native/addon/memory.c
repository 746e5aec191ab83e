// Shared memory of another process: files mapped as array buffers.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "native.h"

// What an array buffer stands on; `base` is NULL once unmapped.
typedef struct {
  void *base;
  size_t length;
} mapping;

static void unmap(mapping *each) {
  if (each->base != NULL) munmap(each->base, each->length);
  each->base = NULL;
}

// Views of the buffer keep the buffer itself alive, so nobody can look at the pages any more.
static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  unmap(data);
  free(data);
}

static bool size_argument(napi_env env, napi_value value, size_t *out) {
  int64_t number;
  if (napi_get_value_int64(env, value, &number) == napi_ok && number >= 0) {
    *out = (size_t)number;
    return true;
  }
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "native call: expected a size");
  return false;
}

// An access to a page behind the end of the file would be SIGBUS, so the file must be long enough;
// it stays so only when it is sealed against shrinking or its owner is trusted not to do it.
static int map_file(int fd, size_t offset, size_t size, mapping *out) {
  struct stat status;
  size_t length;
  if (fstat(fd, &status) < 0) return -errno;
  if (!S_ISREG(status.st_mode) || size == 0 || __builtin_add_overflow(offset, size, &length) ||
      status.st_size < 0 || length > (size_t)status.st_size)
    return -EINVAL;
  // From the beginning: the offset need not be a multiple of the page size of a huge page file.
  void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) return -errno;
  // A core dump of ours is not the place for all the memory of a virtual machine.
  madvise(base, length, MADV_DONTDUMP);
  out->base = base;
  out->length = length;
  return 0;
}

// mapShared(fd, offset, size) -> ArrayBuffer over these bytes of the file, or -errno
GCS_FUNCTION(map_shared) {
  ARGUMENTS(3);
  INT_ARG(fd, 0);
  size_t offset, size;
  if (!size_argument(env, args[1], &offset) || !size_argument(env, args[2], &size)) return NULL;
  mapping *each = malloc(sizeof *each);
  if (each == NULL) return gcs_number(env, -ENOMEM);
  int result = map_file(fd, offset, size, each);
  napi_value buffer;
  if (result == 0 &&
      (napi_create_external_arraybuffer(env, (char *)each->base + offset, size, NULL, NULL, &buffer) != napi_ok ||
       napi_wrap(env, buffer, each, on_collected, NULL, NULL) != napi_ok)) {
    unmap(each);
    result = -ENOMEM;
  }
  if (result == 0) return buffer;
  free(each);
  return gcs_number(env, result);
}

// unmapShared(buffer): every view of it becomes empty, then the pages go. Harmless a second time.
GCS_FUNCTION(unmap_shared) {
  ARGUMENTS(1);
  void *each = NULL;
  if (napi_unwrap(env, args[0], &each) != napi_ok || each == NULL) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "native call: expected a mapped buffer");
    return NULL;
  }
  if (((mapping *)each)->base == NULL) return gcs_number(env, 0);
  if (napi_detach_arraybuffer(env, args[0]) != napi_ok) return gcs_number(env, -EBUSY);
  unmap(each);
  return gcs_number(env, 0);
}

// memoryFile(size) -> descriptor of an anonymous file of that many zero bytes (memfd_create(2)),
// sealed against any other size.
GCS_FUNCTION(memory_file) {
  ARGUMENTS(1);
  size_t size;
  if (!size_argument(env, args[0], &size)) return NULL;
  int fd = memfd_create("gcs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return gcs_result(env, fd);
  if (ftruncate(fd, (off_t)size) < 0 ||
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    int error = errno;
    close(fd);
    return gcs_number(env, -error);
  }
  return gcs_number(env, fd);
}

void init_memory(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"mapShared", map_shared}, {"unmapShared", unmap_shared}, {"memoryFile", memory_file}};
  GCS_DEFINE(table);
}
