/* A failing disk for tests, preloaded into the program: reads that touch a bad range of one file fail with EIO.
 *
 *   BAD_FILE    last part of the file's name
 *   BAD_RANGES  "offset+length offset+length ...", decimal bytes
 *
 * Only pread passes through the C library. The program makes preadv2 without it, so the kernel is told to refuse that, as
 * an old one would; the program then uses pread for everything.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((constructor)) static void refuse_preadv2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_preadv2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("seccomp");
        abort();
    }
}

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
