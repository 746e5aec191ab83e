// Jobs, see job.h.
#include "job.h"

static void execute(napi_env env, void *data) {
  (void)env;
  gcs_job *job = data;
  job->run(job);
}

static void complete(napi_env env, napi_status status, void *data) {
  gcs_job *job = data;
  job->release(env, job);
  // Cancelled only when the environment goes down, and with it whoever waits.
  napi_resolve_deferred(env, job->deferred,
                        gcs_number(env, status == napi_cancelled ? -ECANCELED : job->result));
  napi_delete_async_work(env, job->work);
  free(job);
}

napi_value gcs_job_start(napi_env env, gcs_job *job, const char *name) {
  napi_value promise, resource_name;
  job->work = NULL;
  if (napi_create_promise(env, &job->deferred, &promise) == napi_ok &&
      napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &resource_name) == napi_ok &&
      napi_create_async_work(env, NULL, resource_name, execute, complete, job, &job->work) == napi_ok &&
      napi_queue_async_work(env, job->work) == napi_ok)
    return promise;
  if (job->work != NULL) napi_delete_async_work(env, job->work);
  job->release(env, job);
  free(job);
  napi_throw_error(env, "ENOMEM", "native call: the job cannot be started");
  return NULL;
}
