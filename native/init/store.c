// The descriptor store: copies of the agent's descriptors under names, for the agent that comes
// after it. A pipe or a connection stays open as long as somebody holds it, so the streams of
// containers outlive the agent. The table is static, and so is its bound; a full store refuses, and
// init keeps descriptors of its own to go on working.
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "init.h"

enum { ENTRIES_MAX = 4096, DESCRIPTORS_MAX = 12288, OWN_DESCRIPTORS = 300 };

struct entry {
  uint64_t serial; // in order of storing, from 1
  char name[STORE_NAME_MAX + 1];
  int fds[STORE_FDS_MAX];
  int count;
};

static struct entry entries[ENTRIES_MAX];
// A permutation of the entries: the first `used` are those in use, in order of storing. Pages of
// entries that were never used cost nothing.
static uint16_t order[ENTRIES_MAX];
static size_t used, held, capacity;
static uint64_t last_serial;
static struct rlimit children;

void store_prepare(void) {
  for (size_t i = 0; i < ENTRIES_MAX; i++) order[i] = (uint16_t)i;
  if (getrlimit(RLIMIT_NOFILE, &children) < 0) {
    log_failure("rlimit nofile: no descriptor store");
    return;
  }
  rlim_t wanted = DESCRIPTORS_MAX + OWN_DESCRIPTORS;
  struct rlimit ours = children;
  if (ours.rlim_max < wanted) {
    ours.rlim_max = wanted;
    // Not everybody may; the hard limit it is, then.
    if (setrlimit(RLIMIT_NOFILE, &ours) < 0) ours.rlim_max = children.rlim_max;
  }
  if (ours.rlim_cur < wanted) ours.rlim_cur = ours.rlim_max < wanted ? ours.rlim_max : wanted;
  if (setrlimit(RLIMIT_NOFILE, &ours) < 0) {
    log_failure("rlimit nofile");
    ours = children;
  }
  rlim_t usable = ours.rlim_cur > OWN_DESCRIPTORS ? ours.rlim_cur - OWN_DESCRIPTORS : 0;
  capacity = usable < DESCRIPTORS_MAX ? (size_t)usable : DESCRIPTORS_MAX;
}

void store_child_limits(void) {
  if (capacity > 0 && setrlimit(RLIMIT_NOFILE, &children) < 0) log_failure("rlimit nofile");
}

static bool is_name(const char *text) {
  size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
  return length >= 1 && length <= STORE_NAME_MAX && text[length] == '\0';
}

// Its place in the order; `used` when there is none.
static size_t find(const char *name) {
  size_t place = 0;
  while (place < used && strcmp(entries[order[place]].name, name) != 0) place++;
  return place;
}

const char *store_put(const char *name, const int *fds, size_t count) {
  if (!is_name(name)) return "bad name";
  if (count < 1 || count > STORE_FDS_MAX) return "not 1 to 4 descriptors";
  if (find(name) < used) return "exists";
  if (used == ENTRIES_MAX || held + count > capacity) return "full";
  struct entry *entry = &entries[order[used]];
  entry->serial = ++last_serial;
  strcpy(entry->name, name);
  memcpy(entry->fds, fds, count * sizeof *fds);
  entry->count = (int)count;
  used++;
  held += count;
  return NULL;
}

static void close_entry(struct entry *entry) {
  for (int i = 0; i < entry->count; i++) close(entry->fds[i]);
  held -= (size_t)entry->count;
}

bool store_drop(const char *name) {
  size_t place = find(name);
  if (place == used) return false;
  uint16_t index = order[place];
  close_entry(&entries[index]);
  used--;
  memmove(order + place, order + place + 1, (used - place) * sizeof *order);
  order[used] = index;
  return true;
}

const int *store_get(const char *name, size_t *count) {
  size_t place = find(name);
  if (place == used) return NULL;
  *count = (size_t)entries[order[place]].count;
  return entries[order[place]].fds;
}

const char *store_next(uint64_t after, uint64_t *serial, int *count) {
  size_t low = 0, high = used;
  // Serials ascend in the order.
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (entries[order[middle]].serial <= after)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == used) return NULL;
  const struct entry *entry = &entries[order[low]];
  *serial = entry->serial;
  *count = entry->count;
  return entry->name;
}

void store_clear(void) {
  while (used > 0) close_entry(&entries[order[--used]]);
}
