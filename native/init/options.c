// What init is told: words "gcs.NAME=VALUE" of the kernel command line, and its own arguments,
// which are those of LCOW's init:
//
//   [gcs.NAME=VALUE…] [-d SHELL] [-e PORT] [-w] [PROGRAM [ARGUMENT…]]
//
//   -d SHELL  a debug shell on the console
//   -e PORT   512 bytes of entropy from this port of the host
//   -w        /etc and /var writable (tmpfs above the read-only root)
//
// A program called vsockexec is not started: its ports (-o, -e) become the log ports, and the
// program after them is the agent.
//
//   gcs.root=DEVICE[:TYPE]   in the initramfs: mount this read-only and go on there
//   gcs.cgroup=v1|v2         default v2; cgroup_no_v2=all means v1 too
//   gcs.hostname=NAME
//   gcs.poweroff=reset       reset where power-off is asked for: hypervisors without ACPI end on a reset
//   gcs.vsock=unix:PATH      hybrid form: port P of the host is the unix socket PATH_P
#include <stdio.h>
#include <string.h>

#include "init.h"

struct options options = {.run = "/run/gcs"};

static char *default_program[] = {"/bin/gcs", NULL};
static char *program[MAX_ARGUMENTS + 1];

static bool copy_value(const char *name, const char *value, char *out, size_t size) {
  if (strlen(value) >= size) {
    log_say("%s: longer than %zu bytes, ignored", name, size - 1);
    return false;
  }
  memcpy(out, value, strlen(value) + 1);
  return true;
}

static void root_option(const char *value) {
  if (!copy_value("gcs.root", value, options.root_device, sizeof options.root_device)) return;
  char *colon = strrchr(options.root_device, ':');
  if (colon == NULL) return;
  *colon = '\0';
  copy_value("gcs.root", colon + 1, options.root_type, sizeof options.root_type);
}

// One word; false when it is none of ours.
static bool kernel_word(const char *word) {
  static const char root[] = "gcs.root=", cgroup[] = "gcs.cgroup=", hostname[] = "gcs.hostname=";
  static const char poweroff[] = "gcs.poweroff=", host[] = "gcs.vsock=unix:";
  if (text_starts(word, root)) {
    root_option(word + sizeof root - 1);
  } else if (strcmp(word, "gcs.cgroup=v1") == 0 || strcmp(word, "cgroup_no_v2=all") == 0) {
    options.cgroup_v1 = true;
  } else if (strcmp(word, "gcs.cgroup=v2") == 0) {
    options.cgroup_v1 = false;
  } else if (text_starts(word, cgroup)) {
    log_say("%s: neither v1 nor v2, ignored", word);
  } else if (text_starts(word, hostname)) {
    copy_value("gcs.hostname", word + sizeof hostname - 1, options.hostname, sizeof options.hostname);
  } else if (strcmp(word, "gcs.poweroff=reset") == 0) {
    options.poweroff_by_reset = true;
  } else if (text_starts(word, poweroff)) {
    log_say("%s: not reset, ignored", word);
  } else if (text_starts(word, "gcs.management=")) {
    // The agent's own.
  } else if (text_starts(word, host)) {
    copy_value("gcs.vsock", word + sizeof host - 1, options.unix_path, sizeof options.unix_path);
  } else {
    return false;
  }
  return true;
}

void options_from_kernel(void) {
  // COMMAND_LINE_SIZE is 2048 on the architectures that matter here, at most 4096.
  static char line[4097];
  if (text_read_file("/proc/cmdline", line, sizeof line) < 0) {
    log_failure("read /proc/cmdline");
    return;
  }
  for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
    // What follows are init's arguments, which it gets as such.
    if (strcmp(word, "--") == 0) break;
    if (!kernel_word(word) && text_starts(word, "gcs.")) log_say("unknown kernel argument %s", word);
  }
}

static uint32_t port_option(const char *name, const char *value) {
  uint32_t port = value == NULL ? 0 : text_port(value);
  if (port == 0) log_say("%s %s: not a port, ignored", name, value == NULL ? "" : value);
  return port;
}

void options_log_format(char **words) {
  for (; *words != NULL; words++) {
    const char *value = *words + strspn(*words, "-");
    if (value == *words) continue;
    if (strcmp(value, "log-format=json") == 0) options.json_log = true;
    if (strcmp(value, "log-format") == 0 && words[1] != NULL)
      options.json_log = strcmp(words[1], "json") == 0;
  }
}

// The agent's command line.
static void take_program(char **rest) {
  size_t count = 0;
  for (; rest[count] != NULL && count < MAX_ARGUMENTS; count++) program[count] = rest[count];
  if (rest[count] != NULL) log_say("more than %d arguments, the rest is ignored", MAX_ARGUMENTS);
  program[count] = NULL;
  options.program = count == 0 ? default_program : program;
  options_log_format(options.program);
}

void options_from_arguments(int count, char **arguments) {
  static char default_shell[] = "/bin/sh";
  char **next = arguments + (count > 0 ? 1 : 0);
  for (; *next != NULL; next++) {
    const char *word = *next;
    if (kernel_word(word)) continue;
    if (strcmp(word, "--") == 0) {
      next++;
      break;
    }
    if (word[0] != '-') break;
    if (strcmp(word, "-w") == 0) {
      options.writable_overlays = true;
    } else if (strcmp(word, "-d") == 0) {
      options.shell = next[1] == NULL ? default_shell : *++next;
    } else if (strcmp(word, "-e") == 0) {
      options.entropy_port = port_option("-e", next[1]);
      if (next[1] != NULL) next++;
    } else {
      log_say("unknown option %s, ignored", word);
    }
  }
  const char *slash = *next == NULL ? NULL : strrchr(*next, '/');
  if (*next != NULL && strcmp(slash == NULL ? *next : slash + 1, "vsockexec") == 0)
    next = vsockexec_parse(next, &options.stdout_port, &options.stderr_port);
  take_program(next);
}
