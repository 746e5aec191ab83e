// `init --supervise [--run DIRECTORY] -- PROGRAM [ARGUMENT…]`: on a machine that is not ours, as any
// process. It starts the agent, and again when it dies; is the parent of what a dead agent leaves
// behind, and keeps records of that (below DIRECTORY, default /run/gcs); and keeps the descriptors
// of its streams. It mounts nothing, and nobody's power is its affair.
//
// It ends with the agent's code when the agent ends as it was told to, or says that it cannot start
// (the codes below). Signals to end are passed on as SIGTERM.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

// Of the agent: a wrong command line, or (the shell's codes) a program that cannot be executed.
enum { WRONG_USAGE = 2, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };
enum { EXIT_FAILED = 1, EXIT_USAGE = 64, RUN_MAX = 255 };

static int usage(const char *problem) {
  fprintf(stderr, "init: %s\nusage: init --supervise [--run DIRECTORY] -- PROGRAM [ARGUMENT…]\n", problem);
  return EXIT_USAGE;
}

// What is wrong with them, or NULL.
static const char *take_arguments(char **next) {
  for (; *next != NULL && strcmp(*next, "--") != 0; next++) {
    if (strcmp(*next, "--run") != 0) return "unknown argument";
    if (*++next == NULL || (*next)[0] != '/') return "--run needs an absolute path";
    if (strlen(*next) > RUN_MAX) return "--run: the path is too long";
    options.run = *next;
  }
  if (*next == NULL || next[1] == NULL) return "no program";
  options.program = next + 1;
  return NULL;
}

static void open_signals(void) {
  static const int taken[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
  sigset_t blocked;
  sigemptyset(&blocked);
  // Others, like those that stop a job, keep their meaning.
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) sigaddset(&blocked, taken[i]);
  sigaddset(&blocked, SIGPIPE);
  // Inherited as ignored it would let the kernel collect our children.
  signal(SIGCHLD, SIG_DFL);
  signals_open(taken, sizeof taken / sizeof *taken, &blocked);
}

void supervise_signal(void) {
  ending = STOPPED;
  if (agent.pid == 0) return;
  kill(agent.pid, SIGTERM);
  // A stopped process acts on it when it goes on.
  kill(agent.pid, SIGCONT);
}

bool supervise_over(int code, int status) {
  if (code != CLD_EXITED) return false;
  return status == 0 || status == WRONG_USAGE || status == NOT_EXECUTABLE || status == NOT_FOUND;
}

int supervise(char **arguments) {
  const char *problem = take_arguments(arguments);
  if (problem != NULL) return usage(problem);
  options.supervise = true;
  options_log_format(options.program);
  sinks_prepare();
  // Our messages go to the caller's standard error; there is no console of ours.
  console.retry_at = -1;
  reserve_descriptors();
  log_to(STDERR_FILENO);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) < 0) {
    log_failure("child subreaper");
    return EXIT_FAILED;
  }
  open_signals();
  store_prepare();
  if (!reap_prepare()) return EXIT_FAILED;
  agent_prepare();
  agent_start_due();
  while (ending == RUNNING || agent.pid != 0) loop_once(-1);
  return agent_last_code();
}
