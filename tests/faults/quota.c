/* A disk quota for one folder, for kernels that are built without: LD_PRELOAD this. A file below
 * $TEST_QUOTA_DIR that would end behind $TEST_QUOTA_BYTES is refused as the kernel refuses it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int is_refused(int fd, off_t end)
{
    const char *folder = getenv("TEST_QUOTA_DIR"), *most = getenv("TEST_QUOTA_BYTES");
    char link[64], path[4096];
    ssize_t size;

    if (!folder || !most || end <= atoll(most))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    if (strncmp(path, folder, strlen(folder)))
        return 0;
    errno = EDQUOT;
    return 1;
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t at)
{
    return is_refused(fd, at + (off_t)count) ? -1 : syscall(SYS_pwrite64, fd, data, count, at);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off_t at)
{
    return pwrite(fd, data, count, at);
}

int fallocate(int fd, int mode, off_t at, off_t count)
{
    return is_refused(fd, at + count) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, count);
}

int fallocate64(int fd, int mode, off_t at, off_t count)
{
    return fallocate(fd, mode, at, count);
}
