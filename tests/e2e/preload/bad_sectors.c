/* A failing disk for tests, preloaded into the program: reads that touch a bad range of one file fail with EIO.
 *
 *   BAD_FILE    last part of the file's name
 *   BAD_RANGES  "offset+length offset+length ...", decimal bytes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_bad(int fd, size_t len, unsigned long long offset)
{
    const char *file = getenv("BAD_FILE"), *ranges = getenv("BAD_RANGES");
    char link[64], path[4096];
    if (!file || !ranges)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t found = readlink(link, path, sizeof path - 1);
    if (found < 0)
        return 0;
    path[found] = 0;
    const char *name = strrchr(path, '/');
    if (!name || strcmp(name + 1, file) != 0)
        return 0;
    unsigned long long start, bytes;
    int read;
    for (; sscanf(ranges, "%llu+%llu%n", &start, &bytes, &read) == 2; ranges += read)
        if (offset < start + bytes && offset + len > start)
            return 1;
    return 0;
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "pread64");
    if (is_bad(fd, len, offset)) {
        errno = EIO;
        return -1;
    }
    return real(fd, buf, len, offset);
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
    return pread64(fd, buf, len, offset);
}
