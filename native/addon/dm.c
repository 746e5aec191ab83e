// The device mapper's ioctls (linux/dm-ioctl.h) and the keys its crypt target is given.
#include <linux/dm-ioctl.h>
#include <linux/keyctl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

typedef struct {
  gcs_job job;
  int control;
  uint32_t command;
  uint8_t *message;
  napi_ref message_ref;
  // NULL when there is none.
  char *key_name;
  uint8_t *key;
  size_t key_size;
  napi_ref key_ref;
} dm_job;

// The key is in this thread's keyring, where the kernel looks first, only while the table is loaded:
// the crypt target takes its own copy. A "logon" key cannot be read back by any process.
static void run(gcs_job *base) {
  dm_job *job = (dm_job *)base;
  long key = 0;
  if (job->key_name != NULL) {
    key = syscall(SYS_add_key, "logon", job->key_name, job->key, job->key_size, KEY_SPEC_THREAD_KEYRING);
    if (key < 0) {
      base->result = -(int64_t)errno;
      return;
    }
  }
  int result = ioctl(job->control, _IOWR(DM_IOCTL, job->command, struct dm_ioctl), job->message);
  base->result = result < 0 ? -(int64_t)errno : result;
  if (key != 0) {
    syscall(SYS_keyctl, KEYCTL_REVOKE, key, 0, 0, 0);
    syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_THREAD_KEYRING, 0, 0);
  }
}

static void release(napi_env env, gcs_job *base) {
  dm_job *job = (dm_job *)base;
  free(job->key_name);
  if (job->message_ref != NULL) napi_delete_reference(env, job->message_ref);
  if (job->key_ref != NULL) napi_delete_reference(env, job->key_ref);
}

// dmIoctl(control, command, message, key name or null, key) -> promise. `message` is a dm_ioctl
// with what follows it and is written to; it and the key must not be touched until it is resolved.
GCS_FUNCTION(dm_ioctl) {
  ARGUMENTS(5);
  INT_ARG(control, 0);
  UINT_ARG(command, 1);
  BYTES_ARG(message, size, 2);
  if (size < sizeof(struct dm_ioctl) || ((struct dm_ioctl *)message)->data_size > size)
    return gcs_number(env, -EINVAL);
  dm_job *job = calloc(1, sizeof *job);
  if (job == NULL) return gcs_number(env, -ENOMEM);
  job->job.run = run;
  job->job.release = release;
  job->control = control;
  job->command = command;
  job->message = message;
  bool ready = napi_create_reference(env, args[2], 1, &job->message_ref) == napi_ok;
  if (ready && !gcs_is_nullish(env, args[3])) {
    ready = (job->key_name = gcs_string(env, args[3])) != NULL &&
            gcs_bytes(env, args[4], &job->key, &job->key_size) &&
            napi_create_reference(env, args[4], 1, &job->key_ref) == napi_ok;
  }
  if (!ready) {
    release(env, &job->job);
    free(job);
    return NULL;
  }
  return gcs_job_start(env, &job->job, "gcs.dm");
}

void init_dm(napi_env env, napi_value exports) {
  static const gcs_export table[] = {{"dmIoctl", dm_ioctl}};
  GCS_DEFINE(table);
}
