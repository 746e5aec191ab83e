// The order of the boot, and the loop after it.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

static int signals = -1;
static bool more_children;

int64_t clock_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void reserve_descriptors(void) {
  int fd;
  do {
    fd = open("/", O_PATH | O_CLOEXEC);
  } while (fd >= 0 && fd <= 3);
  if (fd > 3) close(fd);
}

void signals_open(const int *taken, size_t count, const sigset_t *blocked) {
  sigset_t set;
  sigprocmask(SIG_SETMASK, blocked, NULL);
  sigemptyset(&set);
  for (size_t i = 0; i < count; i++) sigaddset(&set, taken[i]);
  signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) log_failure("signalfd");
}

static void open_signals(void) {
  static const int taken[] = {SIGCHLD, SIGINT, SIGTERM, SIGPWR};
  sigset_t all;
  sigfillset(&all);
  signals_open(taken, sizeof taken / sizeof *taken, &all);
  // Ctrl-Alt-Del is then SIGINT instead of a reset.
  if (reboot(RB_DISABLE_CAD) < 0) log_failure("take ctrl-alt-del");
}

static void take_signals(void) {
  struct signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    log_say("signal %u", info.ssi_signo);
    if (options.supervise)
      supervise_signal();
    else if (ending == RUNNING) power_request(info.ssi_signo == SIGINT ? REBOOT : POWER_OFF);
  }
}

static int64_t sooner(int64_t one, int64_t other) {
  if (one < 0) return other;
  return other < 0 || one < other ? one : other;
}

// Milliseconds to wait; -1: for events alone.
static int timeout_until(int64_t deadline) {
  int64_t due = sooner(deadline, sink_due(&console));
  for (int i = 0; i < 2; i++)
    if (ports[i].port != 0) due = sooner(due, sink_due(&ports[i]));
  if (ending == RUNNING) {
    if (agent.pid == 0) due = sooner(due, agent.start_at);
    if (shell.pid == 0) due = sooner(due, shell.start_at);
  }
  int64_t now = clock_now();
  // Without signals nobody tells of a child's end.
  if (signals < 0) due = sooner(due, now + 1000);
  if (more_children) return 0;
  return due < 0 ? -1 : due <= now ? 0 : (int)(due - now);
}

void loop_once(int64_t deadline) {
  enum { SIGNAL, CHANNEL, LOG, OUT, CONSOLE, LOG_PORT, OUT_PORT, COUNT };
  struct pollfd wait[COUNT] = {
      [SIGNAL] = {.fd = signals, .events = POLLIN},
      [LOG] = {.fd = agent_pipes[0], .events = POLLIN},
      [OUT] = {.fd = agent_pipes[1], .events = POLLIN},
      [LOG_PORT] = {.fd = -1},
      [OUT_PORT] = {.fd = -1},
  };
  channel_want(&wait[CHANNEL]);
  sink_want(&console, &wait[CONSOLE]);
  for (int i = 0; i < 2; i++)
    if (ports[i].port != 0) sink_want(&ports[i], &wait[LOG_PORT + i]);
  int count = poll(wait, COUNT, timeout_until(deadline));
  if (count < 0 && errno != EINTR) log_failure("poll");
  if (count < 0) return;
  if (wait[SIGNAL].revents != 0) take_signals();
  // What the agent has said comes before the news of its end.
  for (int i = 0; i < 2; i++)
    if (wait[LOG + i].revents != 0) agent_forward(i);
  if (wait[CHANNEL].revents != 0) channel_ready();
  sink_ready(&console, wait[CONSOLE].revents);
  for (int i = 0; i < 2; i++) sink_ready(&ports[i], wait[LOG_PORT + i].revents);
  if (count == 0 || wait[SIGNAL].revents != 0 || more_children) more_children = reap_some();
  sink_flush(&console);
  for (int i = 0; i < 2; i++)
    if (ports[i].port != 0) sink_flush(&ports[i]);
  agent_start_due();
}

int main(int count, char **arguments) {
  const char *slash = count > 0 ? strrchr(arguments[0], '/') : NULL;
  if (count > 0 && strcmp(slash == NULL ? arguments[0] : slash + 1, "vsockexec") == 0)
    return vsockexec(count, arguments);
  if (count > 1 && strcmp(arguments[1], "--supervise") == 0) return supervise(arguments + 2);
  if (getpid() != 1) {
    // It would signal every process and take the machine down.
    fprintf(stderr, "init: only PID 1 can be init; elsewhere: init --supervise -- PROGRAM\n");
    return EXIT_NOT_PID_1;
  }
  umask(022);
  sinks_prepare();
  reserve_descriptors();
  mounts_early();
  options_from_kernel();
  options_from_arguments(count, arguments);
  log_say("start%s", getenv("GCS_INIT_ROOT") == NULL ? "" : " on the root file system");
  open_signals();
  modules_load();
  root_switch(arguments);
  mounts_late();
  cgroups_mount();
  system_limits();
  system_hostname();
  system_loopback();
  entropy_seed();
  store_prepare();
  reap_prepare();
  agent_prepare();
  agent_start_due();
  while (ending == RUNNING) loop_once(-1);
  power_down();
}
