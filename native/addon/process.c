// Processes: spawning, pidfds, exit statuses, child subreaper.
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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

// What failed, for the error's text: see spawnError in src/os/spawn.ts.
enum spawn_step { STEP_EXEC, STEP_CWD, STEP_NULL, STEP_CLONE, STEP_TERMINAL, STEP_STDIO };

// Of the child until it executes its program: it runs on this while its parent waits.
#define CHILD_STACK_SIZE (48u << 10)
#define SIGNALS 64
#define KERNEL_SIGSET_SIZE (SIGNALS / 8)

typedef struct {
  char *file, *cwd, *search_path, *terminal;
  char **arguments, **environment;
  int32_t *stdio;
  size_t stdio_count;
  // Soft limit of open files, RLIM_INFINITY: as it is.
  rlim_t open_files;
  bool new_session;
  // Told by the child, which shares this memory.
  int error;
  enum spawn_step step;
} spawn_request;

static int failed(spawn_request *request, enum spawn_step step) {
  request->error = errno;
  request->step = step;
  return -1;
}

// Every signal at its default. By system call: the C library's sigaction(3) refuses the two signals
// it keeps for its threads, which would then stay ignored in the child and in all it runs.
static void default_signals(void) {
  const struct {
    unsigned long words[4];
  } by_default = {{0}};
  for (int number = 1; number <= SIGNALS; number++)
    syscall(SYS_rt_sigaction, number, &by_default, NULL, KERNEL_SIGSET_SIZE);
}

static int child_stdio(spawn_request *request) {
  const int count = (int)request->stdio_count;
  int null_fd = -1;
  // First all sources out of the way of the numbers that are filled next.
  for (int i = 0; i < count; i++) {
    int *source = &request->stdio[i];
    if (*source < 0) {
      if (null_fd < 0) {
        int opened = open("/dev/null", O_RDWR | O_CLOEXEC);
        null_fd = opened < 0 ? -1 : fcntl(opened, F_DUPFD_CLOEXEC, count);
        if (null_fd < 0) return failed(request, STEP_NULL);
      }
      *source = null_fd;
    } else if (*source < count) {
      *source = fcntl(*source, F_DUPFD_CLOEXEC, count);
      if (*source < 0) return failed(request, STEP_STDIO);
    }
  }
  for (int i = 0; i < count; i++)
    if (dup2(request->stdio[i], i) < 0) return failed(request, STEP_STDIO);
  return count;
}

// The session leader opens the slave by path: that makes it the controlling terminal (tty(4)).
static int child_terminal(spawn_request *request) {
  int slave = open(request->terminal, O_RDWR);
  if (slave < 0) return failed(request, STEP_TERMINAL);
  for (int fd = 0; fd <= 2; fd++)
    if (dup2(slave, fd) < 0) return failed(request, STEP_STDIO);
  return 3;
}

// The search of execvp(3), without its fallback to a shell. Sets errno.
static void search_and_exec(const spawn_request *request) {
  char *const *arguments = request->arguments, *const *environment = request->environment;
  if (strchr(request->file, '/') != NULL || request->file[0] == '\0') {
    execve(request->file, arguments, environment);
    return;
  }
  char candidate[PATH_MAX];
  int error = ENOENT;
  for (const char *start = request->search_path;;) {
    const char *end = strchrnul(start, ':');
    // An empty entry is the current directory.
    int length = snprintf(candidate, sizeof candidate, "%.*s/%s", end == start ? 1 : (int)(end - start),
                          end == start ? "." : start, request->file);
    if (length < (int)sizeof candidate) {
      execve(candidate, arguments, environment);
      if (errno == EACCES)
        error = EACCES;
      else if (errno != ENOENT && errno != ENOTDIR)
        return;
    }
    if (*end == '\0') break;
    start = end + 1;
  }
  errno = error;
}

static int child_prepare(spawn_request *request) {
  default_signals();
  if ((request->new_session || request->terminal != NULL) && setsid() < 0)
    return failed(request, STEP_STDIO);
  if (request->cwd != NULL && chdir(request->cwd) < 0) return failed(request, STEP_CWD);
  int first = request->terminal != NULL ? child_terminal(request) : child_stdio(request);
  if (first < 0) return -1;
  // Everything of ours is close-on-exec, but what our own parent left open may not be.
  if (syscall(SYS_close_range, first, ~0u, 0) < 0) return failed(request, STEP_STDIO);
  struct rlimit files;
  if (request->open_files != RLIM_INFINITY && getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = request->open_files < files.rlim_max ? request->open_files : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  const uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET_SIZE);
  return 0;
}

static int child_main(void *data) {
  spawn_request *request = data;
  if (child_prepare(request) == 0) {
    search_and_exec(request);
    failed(request, STEP_EXEC);
  }
  _exit(127);
}

// Like posix_spawn(3): the child borrows our memory, on a stack of its own, until it executes its
// program or ends, and we wait for that. What posix_spawn has no words for are the limit and a
// pidfd that is there from the beginning.
static pid_t start_child(spawn_request *request, int *pidfd) {
  _Alignas(16) char stack[CHILD_STACK_SIZE];
  // No handler of ours may run in the child.
  const uint64_t all = ~0ull;
  uint64_t before;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, KERNEL_SIGSET_SIZE);
  pid_t pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                    request, pidfd);
  if (pid < 0) failed(request, STEP_CLONE);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, KERNEL_SIGSET_SIZE);
  if (pid < 0 || request->error == 0) return pid;
  // It has ended without a program, and nobody else may hear of it.
  int result;
  RETRY(result, waitpid(pid, NULL, 0));
  close(*pidfd);
  *pidfd = -1;
  return -1;
}

static bool optional_string(napi_env env, napi_value value, char **out) {
  if (gcs_is_nullish(env, value)) return true;
  *out = gcs_string(env, value);
  return *out != NULL;
}

// spawn(file, searchPath, args, env, stdio Int32Array (-1: /dev/null), cwd?, newSession, terminal?,
//       out: [pidfd, failed step], soft limit of open files or -1) -> pid
GCS_FUNCTION(spawn_process) {
  ARGUMENTS(10);
  INTS_ARG(stdio, stdio_count, 0, 4);
  BOOL_ARG(new_session, 6);
  INTS_ARG(out, out_length, 2, 8);
  (void)out_length;
  INT_ARG(open_files, 9);
  spawn_request request = {.stdio = stdio,
                           .stdio_count = stdio_count,
                           .new_session = new_session,
                           .open_files = open_files < 0 ? RLIM_INFINITY : (rlim_t)open_files};
  napi_value result = NULL;
  if ((request.file = gcs_string(env, args[0])) == NULL ||
      (request.search_path = gcs_string(env, args[1])) == NULL ||
      (request.arguments = gcs_strings(env, args[2])) == NULL ||
      (request.environment = gcs_strings(env, args[3])) == NULL ||
      !optional_string(env, args[5], &request.cwd) || !optional_string(env, args[7], &request.terminal))
    goto done;
  int pidfd = -1;
  pid_t pid = start_child(&request, &pidfd);
  out[0] = pidfd;
  out[1] = request.step;
  result = gcs_number(env, pid < 0 ? -request.error : pid);
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
