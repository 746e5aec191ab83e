/*
 * Stands before a program in PATH, runs it and notes how long it took, so that what a caller adds
 * to a program can be told from what the program takes.
 *
 * The program is "real" in the directory this lies in; each run appends "VERB NANOSECONDS START" to
 * "times" there, VERB being the first argument that is one of runc's commands.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const verbs[] = {"create", "start", "exec", "delete"};

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "timed: %s: %s\n", what, strerror(errno));
    exit(126);
}

/* PATH in the directory of this program. */
static void beside(char *path, size_t size, const char *name)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    if (length < 0)
        die("/proc/self/exe");
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash + 1 + strlen(name) >= path + size) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(slash + 1, name);
}

static const char *verb_of(char **arguments)
{
    for (; *arguments != NULL; arguments++)
        for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
            if (strcmp(*arguments, verbs[i]) == 0)
                return verbs[i];
    return NULL;
}

static void note(const char *verb, long long started, long long ended)
{
    char path[PATH_MAX], line[128];
    beside(path, sizeof path, "times");
    int length = snprintf(line, sizeof line, "%s %lld %lld\n", verb, ended - started, started);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || write(file, line, (size_t)length) != length || close(file) < 0)
        die(path);
}

int main(int count, char **arguments)
{
    (void)count;
    const long long started = now();
    char real[PATH_MAX];
    beside(real, sizeof real, "real");
    const pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(real, arguments);
        die(real);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
    const char *verb = verb_of(arguments + 1);
    if (verb != NULL)
        note(verb, started, now());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
