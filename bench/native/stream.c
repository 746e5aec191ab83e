/*
 * The measuring ends of the throughput benchmark: reads or writes a byte stream as fast as the
 * kernel allows and says how long it took, so that no JavaScript is timed by accident.
 *
 *   stream sink [SOCKET]                  reads to the end
 *   stream source BYTES CHUNK [SOCKET]    writes zeros, then ends the stream
 *
 * With SOCKET it listens there, prints "ready" and serves one connection; without, it uses
 * descriptor 0 or 1. Prints "BYTES NANOSECONDS", from the first byte to the end of the stream.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static void die(const char *what)
{
    fprintf(stderr, "stream: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int serve(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(address.sun_path, path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 1) < 0)
        die(path);
    puts("ready");
    fflush(stdout);
    int connection = accept(listener, NULL, NULL);
    if (connection < 0)
        die("accept");
    close(listener);
    unlink(path);
    return connection;
}

static void report(long long bytes, long long started)
{
    fprintf(stderr, "%lld %lld\n", bytes, now() - started);
}

static void sink(int fd)
{
    long long bytes = 0, started = 0;
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        /* How a terminal ends that nobody has open any more. */
        if (n < 0 && errno == EIO && bytes > 0)
            n = 0;
        if (n < 0)
            die("read");
        if (!started)
            started = now();
        if (n == 0)
            break;
        bytes += n;
    }
    report(bytes, started);
}

static void source(int fd, long long bytes, size_t chunk)
{
    long long started = now(), left = bytes;
    while (left > 0) {
        size_t size = left < (long long)chunk ? (size_t)left : chunk;
        ssize_t n = write(fd, buffer, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("write");
        left -= n;
    }
    /* Half-closed, a socket lets its peer end in its own time; the answer is its close. */
    if (shutdown(fd, SHUT_WR) == 0)
        while (read(fd, buffer, sizeof buffer) > 0)
            ;
    report(bytes, started);
}

int main(int argc, char **argv)
{
    if (argc >= 2 && !strcmp(argv[1], "sink")) {
        sink(argc > 2 ? serve(argv[2]) : 0);
    } else if (argc >= 4 && !strcmp(argv[1], "source")) {
        long long bytes = atoll(argv[2]);
        size_t chunk = (size_t)atoll(argv[3]);
        if (chunk == 0 || chunk > sizeof buffer)
            chunk = sizeof buffer;
        source(argc > 4 ? serve(argv[4]) : 1, bytes, chunk);
    } else {
        fputs("usage: stream sink [SOCKET] | source BYTES CHUNK [SOCKET]\n", stderr);
        return 2;
    }
    return 0;
}
