// Small texts: numbers, prefixes, files of one line.
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

uint32_t text_port(const char *text) {
  uint64_t value = 0;
  if (*text == '\0') return 0;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return 0;
    value = value * 10 + (uint64_t)(*text - '0');
    // The last one is VMADDR_PORT_ANY.
    if (value >= UINT32_MAX) return 0;
  }
  return (uint32_t)value;
}

bool text_starts(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) == 0;
}

ssize_t text_read_file(const char *path, char *buffer, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t length = 0;
  ssize_t count = 0;
  while (length < size - 1) {
    count = read(fd, buffer + length, size - 1 - length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    length += (size_t)count;
  }
  int error = errno;
  close(fd);
  buffer[length] = '\0';
  errno = error;
  return count < 0 ? -1 : (ssize_t)length;
}

bool text_write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t count = write(fd, text, strlen(text));
  int error = errno;
  close(fd);
  errno = error;
  return count >= 0;
}
