// Processes: posix_spawn, pidfds, exit statuses, child subreaper.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

// ioctl PIDFD_GET_INFO (Linux 6.13, exit status since 6.15): the status of a process that somebody
// else has collected. Declared here because the headers of the build machine may be older.
struct pidfd_information {
  uint64_t mask;
  uint64_t cgroup_id;
  uint32_t pid, tgid, ppid;
  uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};
#define PIDFD_INFORMATION_EXIT (1ULL << 3)
#define PIDFD_GET_INFORMATION _IOWR(0xFF, 11, struct pidfd_information)

// What failed, for the error's text: see SpawnStep in src/os/native.ts.
enum spawn_step { STEP_EXEC = 0, STEP_CWD = 1, STEP_NULL = 2, STEP_PIDFD = 3 };

typedef struct {
  char *file, *cwd, *search_path, *terminal;
  char **arguments, **environment;
  int32_t *stdio;
  size_t stdio_count;
  bool new_session;
} spawn_request;

typedef struct {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  // Descriptors that live only for the call: copies out of the way of the targets, the directory.
  int *temporary;
  size_t temporary_count;
} spawn_plan;

static int keep(spawn_plan *plan, int fd) {
  if (fd >= 0) plan->temporary[plan->temporary_count++] = fd;
  return fd;
}

// Copies a descriptor to a number that no dup2 of this plan overwrites.
static int out_of_the_way(spawn_plan *plan, int fd, size_t targets) {
  return keep(plan, fcntl(fd, F_DUPFD_CLOEXEC, (int)targets));
}

static int plan_stdio(spawn_plan *plan, const spawn_request *request, int *step) {
  size_t count = request->stdio_count;
  int null_fd = -1;
  int error = 0;
  for (size_t i = 0; i < count && error == 0; i++) {
    int source = request->stdio[i];
    if (source < 0) {
      if (null_fd < 0) {
        int opened = open("/dev/null", O_RDWR | O_CLOEXEC);
        null_fd = opened < 0 ? -1 : out_of_the_way(plan, opened, count);
        error = null_fd < 0 ? errno : 0;
        if (opened >= 0) close(opened);
        if (error != 0) {
          *step = STEP_NULL;
          return error;
        }
      }
      source = null_fd;
    } else if ((size_t)source < count && (size_t)source != i) {
      source = out_of_the_way(plan, source, count);
      if (source < 0) return errno;
    }
    error = posix_spawn_file_actions_adddup2(&plan->actions, source, (int)i);
  }
  return error;
}

// The session leader opens the slave by path: that makes it the controlling terminal (tty(4)).
static int plan_terminal(spawn_plan *plan, const spawn_request *request) {
  int error = posix_spawn_file_actions_addopen(&plan->actions, 0, request->terminal, O_RDWR, 0);
  for (int fd = 1; fd <= 2 && error == 0; fd++)
    error = posix_spawn_file_actions_adddup2(&plan->actions, 0, fd);
  return error;
}

static int plan_signals(spawn_plan *plan, bool new_session) {
  sigset_t none, all;
  sigemptyset(&none);
  // Not sigfillset: it leaves out 32 and 33, which the C library keeps for its threads, and
  // posix_spawn would then leave those two ignored in the child, and in all it runs.
  memset(&all, 0xff, sizeof all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (new_session) flags |= POSIX_SPAWN_SETSID;
  int error = posix_spawnattr_setsigmask(&plan->attributes, &none);
  if (error == 0) error = posix_spawnattr_setsigdefault(&plan->attributes, &all);
  if (error == 0) error = posix_spawnattr_setflags(&plan->attributes, flags);
  return error;
}

static int make_plan(spawn_plan *plan, const spawn_request *request, int *step) {
  int error = plan_signals(plan, request->new_session || request->terminal != NULL);
  if (error == 0 && request->cwd != NULL) {
    // Opened here and not in the child, so that its failure is told from that of exec.
    int directory = keep(plan, open(request->cwd, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (directory < 0) {
      *step = STEP_CWD;
      return errno;
    }
    error = posix_spawn_file_actions_addfchdir_np(&plan->actions, directory);
  }
  if (error == 0)
    error = request->terminal != NULL ? plan_terminal(plan, request) : plan_stdio(plan, request, step);
  if (error != 0) return error;
  // Everything of ours is close-on-exec, but what our own parent left open may not be.
  int first = request->terminal != NULL ? 3 : (int)request->stdio_count;
  return posix_spawn_file_actions_addclosefrom_np(&plan->actions, first);
}

static int try_exec(const spawn_plan *plan, const spawn_request *request, const char *path, pid_t *pid) {
  return posix_spawn(pid, path, &plan->actions, &plan->attributes, request->arguments, request->environment);
}

// The search of execvp(3), without its fallback to a shell.
static int search_and_exec(const spawn_plan *plan, const spawn_request *request, pid_t *pid) {
  if (strchr(request->file, '/') != NULL || request->file[0] == '\0')
    return try_exec(plan, request, request->file, pid);
  size_t file_length = strlen(request->file);
  int error = ENOENT;
  for (const char *start = request->search_path;;) {
    const char *end = strchrnul(start, ':');
    size_t length = (size_t)(end - start);
    char *candidate = malloc(length + file_length + 3);
    if (candidate == NULL) return ENOMEM;
    // An empty entry is the current directory.
    sprintf(candidate, "%.*s/%s", length == 0 ? 1 : (int)length, length == 0 ? "." : start, request->file);
    // A relative entry counts from the child's directory, where only the child can look.
    bool absent = candidate[0] == '/' && access(candidate, F_OK) < 0 && errno == ENOENT;
    int failure = absent ? ENOENT : try_exec(plan, request, candidate, pid);
    free(candidate);
    if (failure == 0) return 0;
    if (failure == EACCES)
      error = EACCES;
    else if (failure != ENOENT && failure != ENOTDIR)
      return failure;
    if (*end == '\0') return error;
    start = end + 1;
  }
}

// A child without a pidfd could never be watched or signalled, so it must not stay.
static void abandon(pid_t pid) {
  kill(pid, SIGKILL);
  int result;
  RETRY(result, waitpid(pid, NULL, 0));
}

static int run(const spawn_request *request, pid_t *pid, int *pidfd, int *step) {
  spawn_plan plan = {.temporary_count = 0};
  plan.temporary = calloc(request->stdio_count + 3, sizeof *plan.temporary);
  if (plan.temporary == NULL) return ENOMEM;
  int error = posix_spawn_file_actions_init(&plan.actions);
  if (error != 0) goto no_actions;
  error = posix_spawnattr_init(&plan.attributes);
  if (error != 0) goto no_attributes;
  error = make_plan(&plan, request, step);
  if (error != 0) goto done;
  // Holds a number for the pidfd, so that a full table is noticed before anything runs.
  int reserved = open("/", O_PATH | O_CLOEXEC);
  if (reserved < 0) {
    error = errno;
    *step = STEP_PIDFD;
    goto done;
  }
  error = search_and_exec(&plan, request, pid);
  close(reserved);
  if (error == 0) {
    *pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
    if (*pidfd < 0) {
      error = errno;
      *step = STEP_PIDFD;
      abandon(*pid);
    }
  }
done:
  posix_spawnattr_destroy(&plan.attributes);
no_attributes:
  posix_spawn_file_actions_destroy(&plan.actions);
no_actions:
  for (size_t i = 0; i < plan.temporary_count; i++) close(plan.temporary[i]);
  free(plan.temporary);
  return error;
}

static bool optional_string(napi_env env, napi_value value, char **out) {
  if (gcs_is_nullish(env, value)) return true;
  *out = gcs_string(env, value);
  return *out != NULL;
}

// spawn(file, searchPath, args, env, stdio Int32Array (-1: /dev/null), cwd?, newSession, terminal?,
//       out: [pidfd, failed step]) -> pid
GCS_FUNCTION(spawn_process) {
  ARGUMENTS(9);
  INTS_ARG(stdio, stdio_count, 0, 4);
  BOOL_ARG(new_session, 6);
  INTS_ARG(out, out_length, 2, 8);
  (void)out_length;
  spawn_request request = {.stdio = stdio, .stdio_count = stdio_count, .new_session = new_session};
  napi_value result = NULL;
  if ((request.file = gcs_string(env, args[0])) == NULL ||
      (request.search_path = gcs_string(env, args[1])) == NULL ||
      (request.arguments = gcs_strings(env, args[2])) == NULL ||
      (request.environment = gcs_strings(env, args[3])) == NULL ||
      !optional_string(env, args[5], &request.cwd) || !optional_string(env, args[7], &request.terminal))
    goto done;
  pid_t pid = 0;
  int pidfd = -1, step = STEP_EXEC;
  int error = run(&request, &pid, &pidfd, &step);
  out[0] = pidfd;
  out[1] = step;
  result = gcs_number(env, error != 0 ? -error : pid);
done:
  free(request.file);
  free(request.search_path);
  free(request.cwd);
  free(request.terminal);
  gcs_free_strings(request.arguments);
  gcs_free_strings(request.environment);
  return result;
}

GCS_FUNCTION(pidfd_open_process) {
  ARGUMENTS(1);
  INT_ARG(pid, 0);
  return gcs_result(env, syscall(SYS_pidfd_open, pid, 0));
}

GCS_FUNCTION(pidfd_signal) {
  ARGUMENTS(2);
  INT_ARG(pidfd, 0);
  INT_ARG(number, 1);
  return gcs_result(env, syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0));
}

// pidfdExitStatus(pidfd) -> wait(2) status of a process that was collected, -ENODATA when unknown
GCS_FUNCTION(pidfd_exit_status) {
  ARGUMENTS(1);
  INT_ARG(pidfd, 0);
  struct pidfd_information information = {.mask = PIDFD_INFORMATION_EXIT};
  if (ioctl(pidfd, PIDFD_GET_INFORMATION, &information) < 0 ||
      (information.mask & PIDFD_INFORMATION_EXIT) == 0)
    return gcs_number(env, -ENODATA);
  return gcs_number(env, information.exit_code);
}

// waitid(idtype, id, options, out: [pid, si_code, si_status]) -> 1, 0 (nothing yet)
GCS_FUNCTION(wait_id) {
  ARGUMENTS(4);
  INT_ARG(type, 0);
  INT_ARG(id, 1);
  INT_ARG(options, 2);
  INTS_ARG(out, length, 3, 3);
  (void)length;
  siginfo_t information;
  memset(&information, 0, sizeof information);
  int result;
  RETRY(result, waitid((idtype_t)type, (id_t)id, &information, options));
  if (result < 0) return gcs_result(env, result);
  out[0] = information.si_pid;
  out[1] = information.si_code;
  out[2] = information.si_status;
  return gcs_number(env, information.si_pid != 0);
}

GCS_FUNCTION(set_child_subreaper) {
  ARGUMENTS(1);
  BOOL_ARG(on, 0);
  return gcs_result(env, prctl(PR_SET_CHILD_SUBREAPER, on ? 1UL : 0UL, 0UL, 0UL, 0UL));
}

void init_process(napi_env env, napi_value exports) {
  static const gcs_export table[] = {
      {"spawn", spawn_process},           {"pidfdOpen", pidfd_open_process},
      {"pidfdSignal", pidfd_signal},      {"pidfdExitStatus", pidfd_exit_status},
      {"waitid", wait_id},                {"setChildSubreaper", set_child_subreaper},
  };
  GCS_DEFINE(table);
}
