// The cgroup hierarchies. On v2 a cgroup that gives controllers to its children holds no process
// itself, so init and the agent get cgroups of their own.
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "init.h"

#define ROOT "/sys/fs/cgroup"
enum { FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static void enable_controllers(void) {
  char names[512];
  if (text_read_file(ROOT "/cgroup.controllers", names, sizeof names) < 0) {
    log_failure("read %s", ROOT "/cgroup.controllers");
    return;
  }
  // One by one: a controller that cannot be had must not cost the others.
  for (char *name = strtok(names, " \n"); name != NULL; name = strtok(NULL, " \n")) {
    char word[64];
    snprintf(word, sizeof word, "+%s", name);
    if (!text_write_file(ROOT "/cgroup.subtree_control", word)) log_failure("cgroup controller %s", name);
  }
}

static void mount_v2(void) {
  if (mount("cgroup2", ROOT, "cgroup2", FLAGS, NULL) < 0 && errno != EBUSY) {
    log_failure("mount cgroup2 on %s", ROOT);
    return;
  }
  if (mkdir(ROOT "/gcs", 0755) < 0 && errno != EEXIST) log_failure("mkdir %s", ROOT "/gcs");
  if (mkdir(ROOT "/init", 0755) < 0 && errno != EEXIST)
    log_failure("mkdir %s", ROOT "/init");
  else if (!text_write_file(ROOT "/init/cgroup.procs", "0"))
    log_failure("join cgroup /init");
  enable_controllers();
}

static void mount_controller(const char *name) {
  char path[128];
  snprintf(path, sizeof path, ROOT "/%s", name);
  if (mkdir(path, 0755) < 0 && errno != EEXIST) {
    log_failure("mkdir %s", path);
    return;
  }
  if (mount(name, path, "cgroup", FLAGS, name) < 0) log_failure("mount cgroup %s", name);
}

static void mount_v1(void) {
  char table[2048], *rest;
  if (mount("cgroup_root", ROOT, "tmpfs", FLAGS, "mode=0755") < 0) {
    log_failure("mount tmpfs on %s", ROOT);
    return;
  }
  if (text_read_file("/proc/cgroups", table, sizeof table) < 0) {
    log_failure("read /proc/cgroups");
    return;
  }
  for (char *line = strtok_r(table, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    // Name, hierarchy, number of cgroups, enabled.
    char *enabled = strrchr(line, '\t');
    if (line[0] == '#' || enabled == NULL || strcmp(enabled, "\t1") != 0) continue;
    line[strcspn(line, "\t")] = '\0';
    mount_controller(line);
  }
}

void cgroups_mount(void) {
  if (options.cgroup_v1)
    mount_v1();
  else
    mount_v2();
}

void cgroups_join_agent(void) {
  if (options.cgroup_v1) return;
  if (!text_write_file(ROOT "/gcs/cgroup.procs", "0")) log_failure("join cgroup /gcs");
}
