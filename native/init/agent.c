// The agent: init's child in a session of its own, its output on pipes that outlive it, the init
// channel as descriptor 3. It is started again whenever it ends, at once when it had been of use and
// later each time when not; its containers stay. Under a supervisor it has the terminal and the
// streams of whoever called.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init.h"

enum { FIRST_DELAY_MS = 100, LAST_DELAY_MS = 5000, STEADY_MS = 10000, CHANNEL = 3, MAX_ENV = 250 };
#define PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct child agent;
struct child shell = {.start_at = -1};
int agent_pipes[2] = {-1, -1};

static int write_ends[2] = {-1, -1};
static int last_code;
// Its words and four of ours.
static char *environment[MAX_ENV + 5];
extern char **environ;

static void open_pipe(int which) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) {
    log_failure("pipe for the agent's log");
    return;
  }
  // The agent's end blocks as a pipe does; ours never.
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) log_failure("pipe for the agent's log: O_NONBLOCK");
  agent_pipes[which] = ends[0];
  write_ends[which] = ends[1];
}

static void make_environment(void) {
  size_t count = 0;
  bool has_path = false;
  for (char **entry = environ; *entry != NULL && count < MAX_ENV; entry++) {
    if (text_starts(*entry, "GCS_INIT_")) continue;
    if (text_starts(*entry, "PATH=")) has_path = true;
    environment[count++] = *entry;
  }
  if (!has_path) environment[count++] = PATH;
  static char run[sizeof "GCS_INIT_RUN=" + 256], supervisor[sizeof "GCS_INIT_SUPERVISOR=" + 10];
  environment[count++] = "GCS_INIT_FD=3";
  snprintf(run, sizeof run, "GCS_INIT_RUN=%s", options.run);
  environment[count++] = run;
  if (options.supervise) {
    snprintf(supervisor, sizeof supervisor, "GCS_INIT_SUPERVISOR=%d", (int)getpid());
    environment[count++] = supervisor;
  }
  environment[count] = NULL;
}

void agent_prepare(void) {
  make_environment();
  if (options.supervise) return;
  open_pipe(0);
  if (options.stdout_port != 0) open_pipe(1);
  ports[0].port = options.stderr_port;
  ports[1].port = options.stdout_port;
  if (options.shell != NULL) shell.start_at = 0;
}

int agent_log_fd(void) { return write_ends[0]; }

int agent_last_code(void) { return last_code; }

static void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void exec_program(char **arguments) {
  store_child_limits();
  environ = environment;
  execvp(arguments[0], arguments);
  log_failure("exec %s", arguments[0]);
  _exit(127);
}

// In a virtual machine of ours.
static void enter_guest(void) {
  int log = write_ends[0], out = write_ends[1] >= 0 ? write_ends[1] : log;
  log_to(log >= 0 ? log : console.fd);
  setsid();
  cgroups_join_agent();
  int null = open("/dev/null", O_RDWR);
  if (null >= 0) {
    dup2(null, STDIN_FILENO);
    if (null > CHANNEL) close(null);
  }
  if (out >= 0) dup2(out, STDOUT_FILENO);
  if (log >= 0) dup2(log, STDERR_FILENO);
}

static _Noreturn void become_agent(int channel) {
  if (!options.supervise) enter_guest();
  if (channel >= 0) dup2(channel, CHANNEL);
  reset_signals();
  exec_program(options.program);
}

static _Noreturn void become_shell(void) {
  static char *arguments[2];
  setsid();
  int terminal = open("/dev/console", O_RDWR);
  if (terminal < 0) {
    log_failure("debug shell: open /dev/console");
    _exit(127);
  }
  // Fails where the console is no terminal; a shell without job control is still one.
  ioctl(terminal, TIOCSCTTY, 1);
  for (int fd = 0; fd <= 2; fd++) dup2(terminal, fd);
  if (terminal > 2) close(terminal);
  log_to(STDERR_FILENO);
  reset_signals();
  arguments[0] = options.shell;
  exec_program(arguments);
}

static void plan_next(struct child *child) {
  int64_t now = clock_now();
  if (child->steady || now - child->started >= STEADY_MS) child->delay = 0;
  child->start_at = now + child->delay;
  int longer = child->delay == 0 ? FIRST_DELAY_MS : child->delay * 2;
  child->delay = longer > LAST_DELAY_MS ? LAST_DELAY_MS : longer;
}

static void started(struct child *child, pid_t pid, const char *name) {
  child->started = clock_now();
  child->start_at = -1;
  child->steady = false;
  if (pid < 0) {
    log_failure("fork for %s", name);
    plan_next(child);
    return;
  }
  child->pid = pid;
  log_say("%s started, pid %d", name, (int)pid);
}

static void start_agent(void) {
  int channel = channel_open();
  pid_t pid = fork();
  if (pid == 0) become_agent(channel);
  int error = errno;
  if (channel >= 0) close(channel);
  errno = error;
  started(&agent, pid, options.program[0]);
}

static void start_shell(void) {
  pid_t pid = fork();
  if (pid == 0) become_shell();
  started(&shell, pid, options.shell);
}

void agent_start_due(void) {
  if (ending != RUNNING) return;
  int64_t now = clock_now();
  if (agent.pid == 0 && agent.start_at >= 0 && agent.start_at <= now) start_agent();
  if (shell.pid == 0 && shell.start_at >= 0 && shell.start_at <= now) start_shell();
}

bool agent_ended(pid_t pid, int code, int status) {
  struct child *child = pid == agent.pid ? &agent : pid == shell.pid ? &shell : NULL;
  if (child == NULL) return false;
  const char *name = child == &agent ? options.program[0] : options.shell;
  const char *how = code == CLD_EXITED ? "exit code" : "signal";
  child->pid = 0;
  if (child == &agent) {
    last_code = code == CLD_EXITED ? status : 128 + status;
    channel_drain();
    if (options.supervise && supervise_over(code, status)) ending = STOPPED;
  }
  if (ending != RUNNING) {
    log_say("%s ended, %s %d", name, how, status);
    return true;
  }
  plan_next(child);
  log_say("%s ended, %s %d, again in %d ms", name, how, status, (int)(child->start_at - clock_now()));
  return true;
}

void agent_forward(int which) {
  static char bytes[16 * 1024];
  // Bounded, so that a flood keeps nobody else waiting.
  ssize_t count = read(agent_pipes[which], bytes, sizeof bytes);
  if (count <= 0) return;
  sink_put(&console, bytes, (size_t)count);
  sink_flush(&console);
  if (ports[which].port == 0) return;
  sink_put(&ports[which], bytes, (size_t)count);
  sink_flush(&ports[which]);
}
