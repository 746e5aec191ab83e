// stream write BLOCK COUNT   writes COUNT blocks to stdout and does nothing else
// stream read                reads stdin to its end and prints how many bytes it was
//
// The two ends of a throughput measurement, as cheap as they can be, so that what is between them
// is what is measured.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static char buffer[1 << 20];

static int write_blocks(size_t block, long count) {
  struct termios mode;
  if (tcgetattr(1, &mode) == 0) {
    cfmakeraw(&mode);
    tcsetattr(1, TCSANOW, &mode);
  }
  for (long i = 0; i < count; i++) {
    for (size_t done = 0; done < block;) {
      ssize_t n = write(1, buffer + done, block - done);
      if (n < 0) return errno == EINTR ? 75 : 74;
      done += (size_t)n;
    }
  }
  return 0;
}

static int read_all(void) {
  unsigned long long total = 0;
  ssize_t n;
  while ((n = read(0, buffer, sizeof buffer)) > 0) total += (unsigned long long)n;
  printf("%llu\n", total);
  return n < 0 ? 74 : 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "read") == 0) return read_all();
  if (argc != 4 || strcmp(argv[1], "write") != 0) return 64;
  size_t block = strtoul(argv[2], NULL, 10);
  if (block == 0 || block > sizeof buffer) return 64;
  memset(buffer, 'x', block);
  return write_blocks(block, atol(argv[3]));
}
