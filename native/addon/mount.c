// Mounts: the file-descriptor interface (fsopen(2) and its kin), mount(2) for what that cannot
// say, umount2(2), and openat2(2). What may wait for a device or a server runs on a pool thread.
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

typedef struct {
  gcs_job job;
  int fd;
  uint32_t flags;
  // umount2: target. mount: source, target, type, data; any but the target may be NULL.
  char *source, *target, *type, *data;
} mount_job;

static mount_job *new_job(napi_env env, void (*run)(gcs_job *), void (*release)(napi_env, gcs_job *)) {
  mount_job *job = calloc(1, sizeof *job);
  if (job == NULL) {
    napi_throw_error(env, "ENOMEM", "native call: out of memory");
    return NULL;
  }
  job->job.run = run;
  job->job.release = release;
  return job;
}

static void release(napi_env env, gcs_job *base) {
  (void)env;
  mount_job *job = (mount_job *)base;
  free(job->source);
  free(job->target);
  free(job->type);
  free(job->data);
}

static int64_t outcome(long result) { return result < 0 ? -(int64_t)errno : result; }

// openAt2(directory or AT_FDCWD, path, flags, mode, resolve)
GCS_FUNCTION(open_at2) {
  ARGUMENTS(5);
  INT_ARG(directory, 0);
  UINT_ARG(flags, 2);
  UINT_ARG(mode, 3);
  UINT_ARG(resolve, 4);
  char *path = gcs_string(env, args[1]);
  if (path == NULL) return NULL;
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  long fd;
  // EAGAIN: a rename somewhere made a ".." impossible to vouch for; openat2(2) says to try again.
  int attempts = 0;
  do
    RETRY(fd, syscall(SYS_openat2, directory, path, &how, sizeof how));
  while (fd < 0 && errno == EAGAIN && ++attempts < 64);
  napi_value result = gcs_result(env, fd);
  free(path);
  return result;
}

GCS_FUNCTION(fs_open) {
  ARGUMENTS(1);
  char *type = gcs_string(env, args[0]);
  if (type == NULL) return NULL;
  napi_value result = gcs_result(env, fsopen(type, FSOPEN_CLOEXEC));
  free(type);
  return result;
}

// fsConfig(context, command, key, value or null, aux)
GCS_FUNCTION(fs_config) {
  ARGUMENTS(5);
  INT_ARG(context, 0);
  UINT_ARG(command, 1);
  INT_ARG(aux, 4);
  char *key = gcs_string(env, args[2]);
  if (key == NULL) return NULL;
  char *value = NULL;
  if (!gcs_is_nullish(env, args[3]) && (value = gcs_string(env, args[3])) == NULL) {
    free(key);
    return NULL;
  }
  napi_value result = gcs_result(env, fsconfig(context, command, key, value, aux));
  free(key);
  free(value);
  return result;
}

static void run_create(gcs_job *base) {
  mount_job *job = (mount_job *)base;
  base->result = outcome(fsconfig(job->fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

// fsCreate(context) -> promise; the context must stay open until it is resolved.
GCS_FUNCTION(fs_create) {
  ARGUMENTS(1);
  INT_ARG(context, 0);
  mount_job *job = new_job(env, run_create, release);
  if (job == NULL) return NULL;
  job->fd = context;
  return gcs_job_start(env, &job->job, "gcs.fsconfig");
}

GCS_FUNCTION(fs_mount) {
  ARGUMENTS(2);
  INT_ARG(context, 0);
  UINT_ARG(attributes, 1);
  return gcs_result(env, fsmount(context, FSMOUNT_CLOEXEC, attributes));
}

// moveMount(mount, directory): both by descriptor.
GCS_FUNCTION(move_mount_fd) {
  ARGUMENTS(2);
  INT_ARG(mount, 0);
  INT_ARG(directory, 1);
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return gcs_result(env, move_mount(mount, "", directory, "", flags));
}

// openTree(directory, path, flags): OPEN_TREE_CLONE makes a bind mount that is nowhere yet.
GCS_FUNCTION(open_tree_fd) {
  ARGUMENTS(3);
  INT_ARG(directory, 0);
  UINT_ARG(flags, 2);
  char *path = gcs_string(env, args[1]);
  if (path == NULL) return NULL;
  napi_value result = gcs_result(env, open_tree(directory, path, flags | OPEN_TREE_CLOEXEC));
  free(path);
  return result;
}

// mountSetAttributes(mount, recursive, set, clear, propagation)
GCS_FUNCTION(mount_set_attributes) {
  ARGUMENTS(5);
  INT_ARG(mount, 0);
  BOOL_ARG(recursive, 1);
  UINT_ARG(set, 2);
  UINT_ARG(clear, 3);
  UINT_ARG(propagation, 4);
  struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return gcs_result(env, mount_setattr(mount, "", flags, &attributes, sizeof attributes));
}

static void run_mount(gcs_job *base) {
  mount_job *job = (mount_job *)base;
  base->result = outcome(mount(job->source, job->target, job->type, job->flags, job->data));
}

// mountOld(source, target, type, flags, data) -> promise, by mount(2)
GCS_FUNCTION(mount_old) {
  ARGUMENTS(5);
  UINT_ARG(flags, 3);
  mount_job *job = new_job(env, run_mount, release);
  if (job == NULL) return NULL;
  job->flags = flags;
  if ((job->source = gcs_string(env, args[0])) == NULL || (job->target = gcs_string(env, args[1])) == NULL ||
      (job->type = gcs_string(env, args[2])) == NULL || (job->data = gcs_string(env, args[4])) == NULL) {
    release(env, &job->job);
    free(job);
    return NULL;
  }
  return gcs_job_start(env, &job->job, "gcs.mount");
}

static void run_unmount(gcs_job *base) {
  mount_job *job = (mount_job *)base;
  base->result = outcome(umount2(job->target, (int)job->flags));
}

// unmount(target, flags) -> promise
GCS_FUNCTION(unmount) {
  ARGUMENTS(2);
  UINT_ARG(flags, 1);
  mount_job *job = new_job(env, run_unmount, release);
  if (job == NULL) return NULL;
  job->flags = flags;
  if ((job->target = gcs_string(env, args[0])) == NULL) {
    free(job);
    return NULL;
  }
  return gcs_job_start(env, &job->job, "gcs.umount2");
}

void init_mount(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"openAt2", open_at2},
      {"fsOpen", fs_open},
      {"fsConfig", fs_config},
      {"fsCreate", fs_create},
      {"fsMount", fs_mount},
      {"moveMount", move_mount_fd},
      {"openTree", open_tree_fd},
      {"mountSetAttributes", mount_set_attributes},
      {"mountOld", mount_old},
      {"unmount", unmount},
  };
  GCS_DEFINE(table);
}
