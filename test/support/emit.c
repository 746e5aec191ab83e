// emit POOL OUT_OFFSET OUT_LENGTH ERR_OFFSET ERR_LENGTH SEED CODE
//
// Writes two parts of the file POOL to stdout and stderr, in turns and in pieces of all sizes, and
// ends at once with CODE; by signal CODE - 128 from 128 on. Small and static, so that starting it
// costs little.
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t state;

static uint32_t next(void) {
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

int main(int argc, char **argv) {
  if (argc != 8) return 99;
  struct stat info;
  int pool = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (pool < 0 || fstat(pool, &info) < 0) return 98;
  const char *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, pool, 0);
  if (bytes == MAP_FAILED) return 97;
  size_t offset[2] = {strtoul(argv[2], NULL, 10), strtoul(argv[4], NULL, 10)};
  size_t left[2] = {strtoul(argv[3], NULL, 10), strtoul(argv[5], NULL, 10)};
  state = (uint32_t)strtoul(argv[6], NULL, 10);
  int code = atoi(argv[7]);
  while (left[0] + left[1] > 0) {
    int stream = left[1] == 0 ? 0 : left[0] == 0 ? 1 : (int)(next() & 1);
    // Half of the pieces are small; large ones are larger than a pipe.
    size_t piece = 1 + next() % ((next() & 1) ? 5000u : 150000u);
    if (piece > left[stream]) piece = left[stream];
    ssize_t n = write(stream + 1, bytes + offset[stream], piece);
    if (n < 0) return 96;
    offset[stream] += (size_t)n;
    left[stream] -= (size_t)n;
  }
  if (code >= 128) raise(code - 128);
  _exit(code);
}
