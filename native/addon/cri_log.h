// Log files in the format of the Kubernetes container runtime interface:
//
//   2026-01-31T12:00:00.123456789Z stdout F a whole line
//   2026-01-31T12:00:00.123456789Z stderr P a part of a line
//
// One log is written by the threads of several streams. Nothing of a stream is held back: what has
// no newline yet is written at once with tag P, as conmon does.
#ifndef GCS_CRI_LOG_H
#define GCS_CRI_LOG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cri_log;

struct cri_log_options {
  int directory;       // O_PATH or readable; duplicated
  const char *name;    // copied
  mode_t mode;         // of files that are made
  uint64_t max_bytes;  // size of a file beyond which a new one is begun, 0 for none
  uint32_t max_files;  // files in all: name, name.1 (younger), name.2, ...
};

struct cri_log_counts {
  uint64_t entries;    // written
  uint64_t lost;       // entries that could not be written
  uint64_t rotations;
  int error;           // errno of the latest failure
};

enum cri_log_stream { CRI_LOG_STDOUT = 0, CRI_LOG_STDERR = 1 };

// Opens to append. What an interrupted write has left of an entry at the end is cut off. 0 or errno.
int cri_log_open(const struct cri_log_options *options, struct cri_log **out);
struct cri_log *cri_log_share(struct cri_log *log);
// The last one closes it.
void cri_log_release(struct cri_log *log);

// Writes entries for these bytes of a stream; 0, or the errno for which some of them are lost.
int cri_log_write(struct cri_log *log, enum cri_log_stream stream, const char *data, size_t length);
// Begins the file anew under its name, after somebody else has moved it away. 0 or errno; after an
// error the old file goes on.
int cri_log_reopen(struct cri_log *log);
struct cri_log_counts cri_log_count(struct cri_log *log);

#endif
