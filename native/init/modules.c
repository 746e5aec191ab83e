// Kernel modules: /etc/gcs/modules names one file a line, in load order, each with its parameters
// after a space. '#' starts a comment. A '-' in front, as systemd has it: the machine may lack what the
// module is for, and that is no news.
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

#define LIST "/etc/gcs/modules"
// linux/module.h
enum { MODULE_INIT_COMPRESSED_FILE = 4 };

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

static void load(const char *path, const char *parameters, bool optional) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    log_failure("module %s", path);
    return;
  }
  bool compressed = ends_with(path, ".xz") || ends_with(path, ".zst") || ends_with(path, ".gz");
  int flags = compressed ? MODULE_INIT_COMPRESSED_FILE : 0;
  bool loaded = syscall(SYS_finit_module, fd, parameters, flags) == 0;
  // EEXIST: loaded by the stage before, or part of the kernel. ENOENT: what it builds on is not loaded.
  bool news = errno != EEXIST && !(optional && (errno == ENODEV || errno == ENOENT));
  if (!loaded && news) log_failure("module %s", path);
  close(fd);
}

void modules_load(void) {
  static char list[16 * 1024];
  ssize_t length = text_read_file(LIST, list, sizeof list);
  if (length < 0) {
    // A kernel with everything built in has no list.
    if (errno != ENOENT) log_failure("read %s", LIST);
    return;
  }
  if (length == sizeof list - 1) log_say("%s: longer than %zu bytes, the rest is ignored", LIST, sizeof list - 1);
  char *rest;
  for (char *line = strtok_r(list, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#') continue;
    char *parameters = line + strcspn(line, " \t");
    if (*parameters != '\0') *parameters++ = '\0';
    bool optional = *line == '-';
    load(line + optional, parameters, optional);
  }
}
