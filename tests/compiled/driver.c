/* What the tests have a C program do; the first argument says which. */
#define _GNU_SOURCE
#include <hpctrack.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void wait_for_a_line(void)
{
    char line[8];
    if (!fgets(line, sizeof line, stdin)) exit(9);
}

static void say(const char *text) { printf("%s\n", text), fflush(stdout); }

/* Log as fast as it goes, and note in a file in memory how many calls have returned. */
static int forever(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    volatile int64_t *returned;
    if (fd < 0 || ftruncate(fd, 4096)) return 9;
    returned = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (int64_t step = 0;; step++) {
        hpct_log("a", step, (double)step);
        *returned = step + 1;
        if (step % 100 == 99) usleep(1000);
    }
}

/* Log two lots, and wait for a line before each and at the end. */
static int lots(int count, int metrics)
{
    char name[128];
    for (int lot = 0; lot < 2; lot++) {
        wait_for_a_line();
        for (int step = lot * count; step < (lot + 1) * count; step++)
            for (int metric = 0; metric < metrics; metric++) {
                snprintf(name, sizeof name, "metric/%04d/%0*d", metric, metrics > 100 ? 80 : 1, 0);
                hpct_log(metrics > 1 ? name : "a", step, step);
            }
        say("logged");
    }
    wait_for_a_line();
    return 0;
}

static void *one_thread(void *number)
{
    char name[16];
    snprintf(name, sizeof name, "thread/%d", (int)(intptr_t)number);
    for (int step = 0; step < 20000; step++) {
        hpct_log(name, step, step);
        hpct_log("all", step, (double)(intptr_t)number);
    }
    return NULL;
}

static int threads(void)
{
    pthread_t ids[8];
    for (intptr_t i = 0; i < 8; i++) pthread_create(&ids[i], NULL, one_thread, (void *)i);
    for (int i = 0; i < 8; i++) pthread_join(ids[i], NULL);
    return 0;
}

static int forks(void)
{
    pid_t child;
    int status, logged;
    hpct_log("parent", 0, 1);
    if ((child = fork()) == 0) {
        logged = hpct_log("silent", 0, 1);
        exit(logged); /* and its end is not the parent's */
    }
    waitpid(child, &status, 0);
    if (status) return 1;
    if ((child = fork()) == 0) {
        if (!hpct_init()) exit(1);
        for (int step = 0; step < 1000; step++) hpct_log("child", step, step);
        exit(0);
    }
    for (int step = 1; step < 1000; step++) hpct_log("parent", step, 1);
    waitpid(child, &status, 0);
    return status != 0;
}

static int values(void)
{
    static char name[600];
    const char *names[] = {"\xc3\xbc", "a \"quoted\" \\ name", "", "bell\a", "_step"};
    const double numbers[] = {1, 2, 3, 4, 5};
    memset(name, 'x', 512);
    hpct_log(name, 0, 1);
    memset(name, 'y', 513);
    hpct_log(name, 0, 1);
    hpct_log(NULL, 0, 1);
    hpct_log_many(7, 5, names, numbers);
    hpct_log("odd", 0, NAN), hpct_log("odd", 1, INFINITY), hpct_log("odd", 2, -INFINITY);
    hpct_log("odd", INT64_MAX, 1e-310), hpct_log("odd", INT64_MIN, -0.0);
    printf("%d\n", (int)hpct_dropped());
    return 0;
}

static volatile sig_atomic_t interrupted;

static void on_alarm(int number)
{
    (void)number;
    interrupted += 1;
    hpct_log("handler", interrupted, 1);
}

static int handlers(void)
{
    struct itimerval each;
    memset(&each, 0, sizeof each);
    each.it_interval.tv_usec = each.it_value.tv_usec = 200;
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &each, NULL);
    for (int step = 0; interrupted < 500; step++) {
        hpct_log("a", step, step);
        if (step % 64 == 0) usleep(100); /* the ring is to have room for all of it */
    }
    signal(SIGALRM, SIG_IGN);
    printf("%d %d\n", (int)interrupted, (int)hpct_dropped());
    return 0;
}

static int closes(void)
{
    int user, step;
    char text[16];
    ssize_t size;
    for (step = 0; step < 100; step++) hpct_log("a", step, step);
    for (int fd = 3; fd < 1024; fd++) close(fd);
    for (int fd = 3; fd < 100; fd++) user = open("user.txt", O_RDWR | O_CREAT, 0600);
    for (; step < 200; step++) hpct_log("a", step, step), usleep(10000);
    size = pread(user, text, sizeof text, 0);
    return size != 0; /* nothing of ours is in the program's file */
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    int is_there = hpct_init();
    if (!strcmp(what, "forever")) return forever(words[2]);
    if (!strcmp(what, "lots")) return lots(atoi(words[2]), atoi(words[3]));
    if (!strcmp(what, "threads")) return threads();
    if (!strcmp(what, "forks")) return forks();
    if (!strcmp(what, "values")) return values();
    if (!strcmp(what, "handlers")) return handlers();
    if (!strcmp(what, "closes")) return closes();
    if (!strcmp(what, "stops")) {
        say("runs");
        while (!hpct_should_stop()) usleep(10000);
        return 0;
    }
    if (!strcmp(what, "crash")) return hpct_log("a", 0, 1), abort(), 0;
    for (int step = 0; step < 10; step++) hpct_log("a", step, step);
    printf("%d %d\n", is_there, hpct_finish(0));
    return 0;
}
