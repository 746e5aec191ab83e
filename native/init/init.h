// PID 1 of the utility VM; and, as `init --supervise`, what keeps an agent running elsewhere.
//
// One thread, one poll loop, no allocation after start, and nothing is fatal: a step that fails is
// logged with its name and errno, and the boot goes on. What the loop waits for is in main.c; every
// other file owns one concern:
//
//   options.c   kernel arguments, init's own arguments, the agent's command line
//   log.c       init's own messages
//   sink.c      bounded buffers in front of the console and the host's log ports
//   dial.c      connections to the host
//   mounts.c    file systems of the guest        cgroups.c   the cgroup hierarchies
//   system.c    rlimits, host name, loopback     modules.c   kernel modules
//   entropy.c   the host's seed                  root.c      from the initramfs to the root
//   agent.c     start, restart and streams of the agent and of the debug shell
//   reap.c      every child's end, exit records  channel.c   the agent's requests
//   power.c     the way down                     store.c     descriptors kept for the next agent
//   supervise.c outside a virtual machine        vsockexec.c the same binary under another name
#ifndef GCS_INIT_H
#define GCS_INIT_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pollfd;

// ---- options.c

enum { MAX_ARGUMENTS = 128 };

struct options {
  char root_device[256]; // empty: the initramfs is the root
  char root_type[32];    // empty: every file system the kernel knows is tried
  char hostname[65];
  char unix_path[96];    // ports of the host are unix sockets PATH_<port>; empty: AF_VSOCK
  bool cgroup_v1;
  bool poweroff_by_reset;
  bool writable_overlays;
  bool json_log;         // what the agent writes to the log port are JSON lines, so ours are too
  uint32_t entropy_port; // 0: none
  uint32_t stdout_port;
  uint32_t stderr_port;
  char *shell;           // debug shell on the console, or NULL
  char **program;        // the agent's argv, NULL terminated
  bool supervise;        // not a machine of ours: nothing but the agent is our affair
  const char *run;       // directory of the exit records' directory
};

extern struct options options;

// The words of the kernel command line that are ours. Needs /proc.
void options_from_kernel(void);
void options_from_arguments(int count, char **arguments);
// Our log is like that of the agent with this command line.
void options_log_format(char **words);

// ---- log.c

// "init: TEXT\n" to the console and, once it is known, to the host's log port.
void log_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
// "init: STEP: No such device (errno 19)"; errno is kept.
void log_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));
// From now on, in a forked child: lines go to this descriptor instead of the parent's buffers.
void log_to(int fd);

// ---- sink.c

enum { SINK_BYTES = 64 * 1024 };

struct sink {
  uint32_t port;      // of the host; 0: the console
  int fd;             // -1: not there (yet)
  bool connecting;
  bool failed;        // the last attempt, so that the next failure is no news
  int64_t retry_at;   // ms of clock_now(); when fd is -1
  int retry_delay;
  size_t start;       // of the oldest line that was not written whole
  size_t length;      // bytes held from there on
  size_t sent;        // of these, written to the present fd
  bool torn;          // fd has got half a line whose rest was dropped
  uint64_t dropped;   // bytes, since the last notice
  char notice[160];
  size_t notice_length;
  size_t notice_sent;
  char bytes[SINK_BYTES];
};

extern struct sink console;
extern struct sink ports[2]; // 0: stderr, 1: stdout; unused while port is 0

// Before the first message.
void sinks_prepare(void);
void sink_put(struct sink *sink, const char *bytes, size_t count);
// Opens what is not open and due, then writes what can be written without waiting.
void sink_flush(struct sink *sink);
// What to wait for. The descriptor is -1 when there is nothing.
void sink_want(const struct sink *sink, struct pollfd *want);
void sink_ready(struct sink *sink, short events);
// When sink_flush is due without an event; -1: never.
int64_t sink_due(const struct sink *sink);
bool sink_empty(const struct sink *sink);

// ---- dial.c

// A non-blocking connect to a port of the host. The descriptor, with *connecting when it is not
// through yet, or -1 with errno.
int dial_host(uint32_t port, bool *connecting);
// errno of a connect that was under way; 0: connected.
int dial_result(int fd);

// ---- mounts.c

// dev, proc and sys: what the rest needs.
void mounts_early(void);
// Everything else but the cgroups.
void mounts_late(void);
bool is_mount_point(const char *path);

// ---- cgroups.c

void cgroups_mount(void);
// Moves the calling process to the agent's cgroup. For the agent's child before exec.
void cgroups_join_agent(void);

// ---- system.c, modules.c, entropy.c, root.c

void system_limits(void);
void system_hostname(void);
void system_loopback(void);
void modules_load(void);
void entropy_seed(void);
// Does not return when the switch works.
void root_switch(char **arguments);

// ---- agent.c

struct child {
  pid_t pid;           // 0: does not run
  int64_t started;     // clock_now()
  int64_t start_at;    // when it is to be started; -1: not
  int delay;           // ms, before the next start
  bool steady;         // has said that it is ready
};

extern struct child agent;
extern struct child shell;
extern int agent_pipes[2]; // read ends: 0 stderr, 1 stdout or -1

void agent_prepare(void);
// Starts what is due.
void agent_start_due(void);
// True when the pid was one of ours; arranges the next start.
bool agent_ended(pid_t pid, int code, int status);
// Moves what the agent has written to the sinks.
void agent_forward(int which);
// A write end of the agent's log, for our own children.
int agent_log_fd(void);
// The exit code of the agent that ended last, as a shell tells it: 128 + signal when it was killed.
int agent_last_code(void);

// ---- reap.c

extern pid_t helper; // a child of init's own that runs now; 0: none
// Reaps some children. True when there may be more.
bool reap_some(void);
// True when init has no child at all.
bool reap_no_children(void);
// False with errno, said, when there will be no records.
bool reap_prepare(void);
// No more records: /run can be unmounted.
void reap_finish(void);

// ---- channel.c

extern int channel_fd; // init's end; -1: no agent
// Makes a new pair; returns the agent's end or -1.
int channel_open(void);
void channel_close(void);
// What to wait for.
void channel_want(struct pollfd *want);
void channel_ready(void);
// What the agent has sent before it died; then closes.
void channel_drain(void);

// ---- store.c

enum { STORE_NAME_MAX = 63, STORE_FDS_MAX = 4 };

// Raises our own limit of open files as far as we may.
void store_prepare(void);
// In a forked child: the limit that was in force before.
void store_child_limits(void);
// NULL, and the descriptors are the store's; else why not.
const char *store_put(const char *name, const int *fds, size_t count);
// Closes the entry's descriptors; false when there is none of this name.
bool store_drop(const char *name);
// The store's own descriptors, NULL when there is no such entry.
const int *store_get(const char *name, size_t *count);
// The first entry with a serial above `after`: its name, or NULL when there is none.
const char *store_next(uint64_t after, uint64_t *serial, int *count);
void store_clear(void);

// ---- power.c

enum ending { RUNNING, POWER_OFF, REBOOT, STOPPED };

extern enum ending ending;
// Only notes the wish; main.c goes down when the present round of the loop is over.
void power_request(enum ending how);
_Noreturn void power_down(void);

// Exit codes, seen only where reboot(2) is not allowed, which is never in a VM.
enum { EXIT_NOT_PID_1 = 64, EXIT_POWER_OFF = 70, EXIT_REBOOT = 71 };

// ---- supervise.c

// `init --supervise [--run DIRECTORY] -- PROGRAM [ARGUMENT…]`: the exit code.
int supervise(char **arguments);
// SIGTERM, SIGINT or SIGHUP for us.
void supervise_signal(void);
// The agent has ended: true when that ends the supervisor too.
bool supervise_over(int code, int status);

// ---- main.c

// The signals that the loop takes, by signalfd; all of `blocked` stay blocked.
void signals_open(const int *taken, size_t count, const sigset_t *blocked);
// Descriptors 0 to 3 are never ours, so that a child can put its own there.
void reserve_descriptors(void);

// Milliseconds of CLOCK_MONOTONIC.
int64_t clock_now(void);
// One round of the loop: waits for an event, at most until `deadline` (-1: none).
void loop_once(int64_t deadline);

// ---- vsockexec.c

int vsockexec(int count, char **arguments);
// The ports of a vsockexec command line; the program's argv, or NULL when there is none.
char **vsockexec_parse(char **arguments, uint32_t *out, uint32_t *err);

// ---- text.c

// A whole number from 1 to 4294967294 and nothing else; 0 when it is not.
uint32_t text_port(const char *text);
bool text_starts(const char *text, const char *prefix);
// The file's beginning with a NUL; -1 with errno.
ssize_t text_read_file(const char *path, char *buffer, size_t size);
// Writes the text in one write(2); false with errno.
bool text_write_file(const char *path, const char *text);

#endif
