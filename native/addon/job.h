// System calls that may block for long, on libuv's pool threads.
#ifndef GCS_JOB_H
#define GCS_JOB_H

#include "native.h"

typedef struct gcs_job gcs_job;

// The first member of every job's own structure, which is malloc'ed.
struct gcs_job {
  napi_async_work work;
  napi_deferred deferred;
  // On a pool thread: sets `result`, to -errno when it failed. No N-API there.
  void (*run)(gcs_job *job);
  // Back on the event loop, before the promise is resolved: frees what the job holds, not the job.
  void (*release)(napi_env env, gcs_job *job);
  int64_t result;
};

// Starts the job and owns it; returns a promise of its result. NULL with a pending exception when
// it cannot be started: it is released then too.
napi_value gcs_job_start(napi_env env, gcs_job *job, const char *name);

#endif
