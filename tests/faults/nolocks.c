/* A file system without locks in one folder, as some sites mount Lustre: LD_PRELOAD this. A file
 * below $TEST_NO_LOCKS_DIR cannot be locked in any of the ways that there are. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_refused(int fd)
{
    const char *folder = getenv("TEST_NO_LOCKS_DIR"), *told = getenv("TEST_NO_LOCKS_LOG");
    char link[64], path[4096];
    ssize_t size;
    FILE *log;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (!folder || size < 0)
        return 0;
    path[size] = 0;
    if (strncmp(path, folder, strlen(folder)))
        return 0;
    if (told && (log = fopen(told, "a"))) {
        fprintf(log, "%s\n", path);
        fclose(log);
    }
    return 1;
}

int flock(int fd, int operation)
{
    if (is_refused(fd)) {
        errno = ENOSYS;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static int control(int fd, int command, void *argument)
{
    int is_lock = command == F_SETLK || command == F_SETLKW || command == F_GETLK ||
                  command == F_OFD_SETLK || command == F_OFD_SETLKW || command == F_OFD_GETLK;

    if (is_lock && is_refused(fd)) {
        errno = ENOLCK;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
    va_list rest;
    void *argument;

    va_start(rest, command);
    argument = va_arg(rest, void *);
    va_end(rest);
    return control(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list rest;
    void *argument;

    va_start(rest, command);
    argument = va_arg(rest, void *);
    va_end(rest);
    return control(fd, command, argument);
}
