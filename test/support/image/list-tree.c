/*
 * list-tree TOP: prints one line for each file below TOP, with everything a file system knows of it:
 *
 *   PATH TYPE MODE UID:GID MTIME DETAIL [XATTR=HEX …]
 *
 * Files of one inode are told once, then "PATH = FIRST PATH". Directories are read in byte order.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

struct known {
    dev_t dev;
    ino_t ino;
    char *path;
    struct known *next;
};

static struct known *known;

static void print_escaped(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at > ' ' && *at < 127 && *at != '\\')
            putchar(*at);
        else
            printf("\\x%02x", *at);
}

static void print_content(int directory, const char *name)
{
    unsigned char buffer[65536];
    uint32_t hash = 0x811c9dc5;
    long long size = 0;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW);
    if (fd < 0)
        err(1, "open %s", name);
    for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) != 0;) {
        if (got < 0)
            err(1, "read %s", name);
        for (ssize_t at = 0; at < got; at++)
            hash = (hash ^ buffer[at]) * 0x01000193;
        size += got;
    }
    close(fd);
    printf("%lld:%x", size, hash);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_xattrs(const char *path)
{
    static char names[65536], value[65536];
    ssize_t length = llistxattr(path, names, sizeof names);
    if (length < 0)
        err(1, "llistxattr %s", path);
    char *sorted[1024];
    size_t count = 0;
    for (char *name = names; name < names + length; name += strlen(name) + 1)
        sorted[count++] = name;
    qsort(sorted, count, sizeof *sorted, by_text);
    for (size_t index = 0; index < count; index++) {
        ssize_t size = lgetxattr(path, sorted[index], value, sizeof value);
        if (size < 0)
            err(1, "lgetxattr %s %s", path, sorted[index]);
        printf(" %s=", sorted[index]);
        for (ssize_t at = 0; at < size; at++)
            printf("%02x", (unsigned char)value[at]);
    }
}

static int told_before(const struct stat *status, const char *path)
{
    if (S_ISDIR(status->st_mode))
        return 0;
    for (struct known *each = known; each != NULL; each = each->next)
        if (each->dev == status->st_dev && each->ino == status->st_ino) {
            printf(" = ");
            print_escaped(each->path);
            putchar('\n');
            return 1;
        }
    struct known *entry = malloc(sizeof *entry);
    *entry = (struct known){status->st_dev, status->st_ino, strdup(path), known};
    known = entry;
    return 0;
}

static char letter(mode_t mode)
{
    if (S_ISREG(mode))
        return 'f';
    if (S_ISDIR(mode))
        return 'd';
    if (S_ISLNK(mode))
        return 'l';
    if (S_ISCHR(mode))
        return 'c';
    return S_ISBLK(mode) ? 'b' : S_ISFIFO(mode) ? 'p' : '?';
}

static void print_file(const char *path, const struct stat *status)
{
    static char target[8192];
    print_escaped(path);
    if (told_before(status, path))
        return;
    printf(" %c %o %u:%u %lld.%09ld ", letter(status->st_mode), status->st_mode & 07777,
           status->st_uid, status->st_gid, (long long)status->st_mtim.tv_sec,
           status->st_mtim.tv_nsec);
    if (S_ISREG(status->st_mode)) {
        print_content(AT_FDCWD, path);
    } else if (S_ISLNK(status->st_mode)) {
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 0)
            err(1, "readlink %s", path);
        target[length] = 0;
        print_escaped(target);
    } else if (S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode)) {
        printf("%u:%u", major(status->st_rdev), minor(status->st_rdev));
    } else {
        putchar('-');
    }
    print_xattrs(path);
    putchar('\n');
}

static void list(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        err(1, "scandir %s", path);
    for (int index = 0; index < count; index++) {
        const char *name = entries[index]->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            char *child;
            struct stat status;
            if (asprintf(&child, "%s/%s", path, name) < 0 || lstat(child, &status) != 0)
                err(1, "%s/%s", path, name);
            print_file(child, &status);
            if (S_ISDIR(status.st_mode))
                list(child);
            free(child);
        }
        free(entries[index]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: list-tree TOP");
    list(argv[1]);
    return fflush(stdout) == 0 ? 0 : 1;
}
