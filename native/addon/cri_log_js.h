// The JavaScript object of a CRI log, for the parts of the addon that write to it.
#ifndef GCS_CRI_LOG_JS_H
#define GCS_CRI_LOG_JS_H

#include "cri_log.h"
#include "native.h"

// The object's; NULL with a pending TypeError for any other value.
struct cri_log *gcs_cri_log(napi_env env, napi_value value);

#endif
