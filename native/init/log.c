// Init's own messages. The console gets them as text with the time since boot, like the kernel's;
// the host's log port as JSON when the agent writes JSON there, because its reader takes nothing
// else.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { TEXT_MAX = 400 };

static int direct = -1;

void log_to(int fd) { direct = fd; }

static size_t append(char *out, size_t length, size_t size, const char *text) {
  size_t count = strlen(text);
  if (count > size - length) count = size - length;
  memcpy(out + length, text, count);
  return length + count;
}

// The text as the inside of a JSON string. What is not printable ASCII is shown as '?'.
static void json_text(const char *text, char *out, size_t size) {
  size_t length = 0;
  for (; *text != '\0' && length + 3 < size; text++) {
    if (*text == '"' || *text == '\\') out[length++] = '\\';
    out[length++] = *text >= ' ' && *text < 0x7f ? *text : '?';
  }
  out[length] = '\0';
}

static size_t json_line(char *out, size_t size, const char *level, const char *text) {
  struct timespec now;
  struct tm utc;
  char escaped[2 * TEXT_MAX];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  json_text(text, escaped, sizeof escaped);
  int length = snprintf(
      out, size,
      "{\"level\":\"%s\",\"msg\":\"init: %s\",\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ\"}\n", level,
      escaped, utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
      now.tv_nsec);
  return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

static size_t text_line(char *out, size_t size, const char *text) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  int head = snprintf(out, size, "[%5lld.%06ld] init: ", (long long)now.tv_sec, now.tv_nsec / 1000);
  size_t length = append(out, head < 0 ? 0 : (size_t)head, size - 1, text);
  // One message is one line, whatever a name in it holds.
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)out[i] < ' ' || out[i] == 0x7f) out[i] = '?';
  out[length] = '\n';
  return length + 1;
}

static void put(const char *level, const char *text) {
  static char line[2 * TEXT_MAX + 160];
  if (direct >= 0) {
    size_t length = options.json_log ? json_line(line, sizeof line, level, text)
                                     : text_line(line, sizeof line, text);
    // A child's last resort: there is nobody to tell when this fails.
    if (write(direct, line, length) < 0) return;
    return;
  }
  sink_put(&console, line, text_line(line, sizeof line, text));
  sink_flush(&console);
  struct sink *port = &ports[0];
  if (port->port == 0) return;
  size_t length = options.json_log ? json_line(line, sizeof line, level, text)
                                   : text_line(line, sizeof line, text);
  sink_put(port, line, length);
}

void log_say(const char *format, ...) {
  char text[TEXT_MAX];
  int error = errno;
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  put("info", text);
  errno = error;
}

void log_failure(const char *format, ...) {
  char text[TEXT_MAX];
  int error = errno;
  va_list values;
  va_start(values, format);
  int length = vsnprintf(text, sizeof text - 80, format, values);
  va_end(values);
  if (length < 0) length = 0;
  if ((size_t)length > sizeof text - 81) length = sizeof text - 81;
  snprintf(text + length, sizeof text - (size_t)length, ": %s (errno %d)", strerror(error), error);
  put("warning", text);
  errno = error;
}
