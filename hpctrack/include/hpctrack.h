/* hpctrack.h - log numbers from C and C++ into the run that `hpctrack run` has begun.
 *
 *     #include <hpctrack.h>                    cc $(hpctrack cflags) sim.c -o sim
 *                                              srun -n 64 hpctrack run -- ./sim
 *     hpct_init();
 *     for (step = 0; step < steps; step++)
 *         hpct_log("residual", step, residual);
 *     hpct_finish(0);
 *
 * C99 or C++11, Linux, little-endian, nothing but the C library. Include it wherever you like: the
 * program has one run and one copy of this code, whatever the number of files (weak, hidden symbols,
 * which Fortran can link to as well: hpctrack.f90).
 *
 * What holds for every function
 * - None aborts, raises a signal or touches what is the program's. What goes wrong is said once on
 *   standard error and counted where `hpctrack show` finds it.
 * - Any thread may call any of them at any time; calls wait for each other, mostly below 0.1 us.
 *   A signal handler may log: what interrupts a call of its own thread is dropped and counted.
 * - A child made by fork() records nothing, unless it calls hpct_init() itself.
 * - What hpct_log has returned from outlives the program, however that is killed: it is in memory
 *   that the node's agent shares. If the agent dies, the next one gets what was not in a file.
 * - Without an agent nothing is recorded, and every call returns 0 at once. */
#ifndef HPCTRACK_H
#define HPCTRACK_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#define HPCT_API __attribute__((weak, visibility("hidden")))

#ifdef __cplusplus
extern "C" {
#endif

/* Join the run as the rank that the launcher says, before or after MPI_Init. Returns whether an
 * agent records. Further calls do no harm. */
HPCT_API int hpct_init(void);

/* Record one value, or several of one step. Steps may come in any order; NaN and infinities are
 * values. Names are UTF-8 of at most 512 bytes; "/" groups them in charts. Returns how many values
 * are safe now; the others are counted. Never waits for the agent. About 0.1 us a value. */
HPCT_API int hpct_log(const char *name, int64_t step, double value);
HPCT_API int hpct_log_many(int64_t step, int count, const char *const *names, const double *values);

/* Whether somebody asks the program to end (`hpctrack stop`, a time limit): save, and leave. */
HPCT_API int hpct_should_stop(void);

/* How many values were dropped so far: there was no room while the agent was busy, or no name. */
HPCT_API uint64_t hpct_dropped(void);

/* End this rank's part of the run; 0 is success. Called by itself, with 0, when the program exits:
 * `hpctrack run` records the true exit code in any case. Returns whether everything is in a file;
 * waits for that, at most HPCTRACK_FINISH_TIMEOUT_S (30). Later calls of anything do nothing. */
HPCT_API int hpct_finish(int exit_code);

/* ---- How it works; docs/reference/wire.md describes the ring and the frames -------------------- */
#ifndef __cplusplus
extern long syscall(long number, ...); /* hidden by -std=c99, as is what the last enum holds */
#endif

enum { HPCTP_WIRE = 3, HPCTP_HELLO = 1, HPCTP_NAME = 2, HPCTP_POINTS = 3, HPCTP_FINISH = 10,
       HPCTP_NOTICE = 65, HPCTP_DONE = 66, HPCTP_STOP = 67 };
enum { HPCTP_HEADS = 16, HPCTP_DROPPED = 18, HPCTP_FRAMES = 32, HPCTP_SLOT = 33, HPCTP_SLOTS = 40,
       HPCTP_LANES = 4096, HPCTP_FIRST = 256 * 1024, HPCTP_PIECE = 64 * 1024 };
enum { HPCTP_RECORDS = 1, HPCTP_OVER = 2, HPCTP_NAME_MAX = 512, HPCTP_FIRST_FD = 10 };
enum { HPCTP_DUPFD_CLOEXEC = 1030, HPCTP_ANONYMOUS = 0x20, HPCTP_WIPEONFORK = 18 };

typedef struct { int fd; struct stat was; } hpctp_file; /* ours, if it is what it was */
typedef struct hpctp_metric {
    struct hpctp_metric *same, *next;   /* with the same place, and the one that was made next */
    uint32_t number;
    char *name;
} hpctp_metric;

typedef struct {
    uintptr_t lock;                     /* 0, or the thread that is inside */
    int phase, said, now;               /* now: the lane's number */
    pid_t pid;
    volatile int *alive;                /* on a page that is empty in a forked child */
    uint64_t *words;                    /* the ring's first page; */
    char *lanes[2], *lane;              /* its lanes, and the one that we are in; */
    uint64_t sizes[2], heads[2], at, limit, need; /* and where in it, for a frame of what size */
    hpctp_metric *places[4096], *first, **last;
    uint32_t metrics;
    hpctp_file ring, socket;
    int connections, losses, is_done, is_stopped;
    double begun_s, looked_s;
    char card[1 << 15], *hello;         /* the path of the agent's socket, and what to say there */
    char *out, in[1024];                /* what the socket has not taken yet; what is arriving, cut */
    size_t out_size, out_room;
    uint64_t in_got;
} hpctp_state;
HPCT_API hpctp_state hpctp_the;

static inline double hpctp_now(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    return (double)now.tv_sec + 1e-6 * (double)now.tv_usec;
}

/* Say something once, unless standard error is closed or full: it must neither end nor hold us. */
static inline void hpctp_say(hpctp_state *h, int key, const char *text) {
    char line[600];
    struct pollfd p = {2, POLLOUT, 0};
    int size = snprintf(line, sizeof line, "hpctrack: %.500s\n", text), is_new = !(h->said & key);
    h->said |= key;
    if (is_new && poll(&p, 1, 0) == 1 && p.revents == POLLOUT && write(2, line, (size_t)size) < 0) return;
}

/* Keep a descriptor, out of the way of programs that use low numbers by name. */
static inline int hpctp_keep(hpctp_file *file, int fd) {
    file->fd = fd < 0 ? -1 : fcntl(fd, HPCTP_DUPFD_CLOEXEC, HPCTP_FIRST_FD);
    if (fd >= 0) close(fd);
    return file->fd >= 0 && !fstat(file->fd, &file->was);
}

static inline int hpctp_has(const hpctp_file *file) {
    struct stat found;
    return file->fd >= 0 && !fstat(file->fd, &found) && found.st_dev == file->was.st_dev
        && found.st_ino == file->was.st_ino;
}

/* ---- one thread at a time, and only in the process that has begun ------------------------------ */
static inline int hpctp_is_child(const hpctp_state *h) { return h->alive ? !*h->alive : h->pid != getpid(); }
/* Returns 0 if this thread is inside already: a signal handler in the middle of its call. */
static inline int hpctp_lock(hpctp_state *h) {
    uintptr_t me = (uintptr_t)pthread_self(), seen = 0;
    int tries = 0;
    while (!__atomic_compare_exchange_n(&h->lock, &seen, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        if (seen == me) return 0;
        if (++tries > 1000) poll(NULL, 0, 1); /* the one inside may have a lower priority */
        else if (tries > 30) syscall(SYS_sched_yield);
        seen = 0;
    }
    return 1;
}

static inline void hpctp_leave(hpctp_state *h) { __atomic_store_n(&h->lock, 0, __ATOMIC_RELEASE); }
static inline void hpctp_drop(hpctp_state *h, int points) {
    __atomic_fetch_add(&h->words[HPCTP_DROPPED], (uint64_t)points, __ATOMIC_RELAXED);
}

static inline int hpctp_enter(hpctp_state *h, int points) {
    if (__atomic_load_n(&h->phase, __ATOMIC_ACQUIRE) != HPCTP_RECORDS || hpctp_is_child(h)) return 0;
    if (!hpctp_lock(h)) return hpctp_drop(h, points), 0;
    return h->phase == HPCTP_RECORDS ? 1 : (hpctp_leave(h), 0);
}

/* ---- the ring ---------------------------------------------------------------------------------- */
static inline char *hpctp_write_head(char *to, size_t body, int kind, int count) {
    uint32_t size = (uint32_t)body, rest = (uint32_t)kind | (uint32_t)count << 16;
    memcpy(to, &size, 4), memcpy(to + 4, &rest, 4);
    return to + 8;
}

static inline uint64_t hpctp_unread(const hpctp_state *h, int lane) {
    uint64_t slot = __atomic_load_n(&h->words[HPCTP_SLOT], __ATOMIC_ACQUIRE) & 1;
    const uint64_t *tails = &h->words[HPCTP_SLOTS + 8 * slot];
    return h->heads[lane] - __atomic_load_n(&tails[lane], __ATOMIC_ACQUIRE);
}

static inline void hpctp_publish(hpctp_state *h) {
    h->at += h->need, h->heads[h->now] += h->need;
    __atomic_store_n(&h->words[HPCTP_HEADS + h->now], h->heads[h->now], __ATOMIC_RELEASE);
}

/* Fill the lane's end with a frame of kind 0, and go to its start. */
static inline void hpctp_turn(hpctp_state *h) {
    h->need = h->sizes[h->now] - h->at;
    if (h->need) hpctp_write_head(h->lane + h->at, (size_t)h->need - 8, 0, 0), hpctp_publish(h);
    h->at = h->limit = 0;
}

static inline void hpctp_enter_lane(hpctp_state *h, int lane) {
    h->now = lane, h->lane = h->lanes[lane];
    h->at = h->limit = h->heads[lane] % h->sizes[lane];
    if (lane && h->at) hpctp_turn(h); /* it is empty: the same memory as the last time */
}

/* Move the limit up to which may be written; returns whether a frame fits below it. */
static inline int hpctp_stretch(hpctp_state *h, uint64_t need) {
    uint64_t rest = h->sizes[h->now] - h->at, room = h->sizes[h->now] - hpctp_unread(h, h->now);
    if (need > rest && room < rest + need) return 0;
    if (need > rest) hpctp_turn(h), room -= rest, rest = h->sizes[h->now];
    if (h->now && room > HPCTP_PIECE) room = HPCTP_PIECE;
    h->limit = h->at + (room < rest ? room : rest);
    return need <= room;
}

/* Begin a frame; returns where its body goes, or NULL if the ring is full. The second lane is only
 * used while the first is full, and until the agent has caught up: so little memory is touched. */
static inline char *hpctp_begin(hpctp_state *h, size_t body, int kind, int count) {
    uint64_t need = (body + 15) & ~(uint64_t)7;
    if (h->at + need > h->limit) {
        if (h->now && !hpctp_unread(h, 1)) hpctp_enter_lane(h, 0);
        if (!hpctp_stretch(h, need)) {
            if (!h->now) hpctp_enter_lane(h, 1);
            if (!hpctp_stretch(h, need)) return NULL;
        }
    }
    h->need = need;
    return hpctp_write_head(h->lane + h->at, body, kind, count);
}

static inline int hpctp_make_ring(hpctp_state *h) {
    const char *asked = getenv("HPCTRACK_BUFFER_BYTES");
    uint64_t size = asked ? strtoull(asked, NULL, 10) : 16u << 20, rest = HPCTP_LANES + HPCTP_FIRST;
    struct rlimit file;
    void *memory = MAP_FAILED;
    int fd = -1;
    /* `ulimit -f` holds for files in memory too, and beyond it there is a signal that kills. */
    if (getrlimit(RLIMIT_FSIZE, &file) || file.rlim_cur < rest + HPCTP_FIRST) return 0;
    if (size > 1u << 30) size = 1u << 30;
    if (size > file.rlim_cur - rest) size = file.rlim_cur - rest;
    size = size < HPCTP_FIRST ? (uint64_t)HPCTP_FIRST : size & ~(uint64_t)4095;
#ifdef SYS_memfd_create
    fd = (int)syscall(SYS_memfd_create, "hpctrack-ring", 1);
#endif
    if (!hpctp_keep(&h->ring, fd)) return 0;
    if (!syscall(SYS_ftruncate, h->ring.fd, (long)(rest + size)))
        memory = mmap(NULL, rest + size, PROT_READ | PROT_WRITE, MAP_SHARED, h->ring.fd, 0);
    if (memory == MAP_FAILED) return close(h->ring.fd), h->ring.fd = -1, 0;
    h->words = (uint64_t *)memory, h->words[1] = h->sizes[1] = size, h->sizes[0] = HPCTP_FIRST;
    h->lanes[0] = (char *)memory + HPCTP_LANES, h->lanes[1] = h->lanes[0] + HPCTP_FIRST;
    h->heads[0] = h->heads[1] = 0, h->losses = 0;
    hpctp_enter_lane(h, 0);
    return memcpy(memory, "hpctrng1", 8), 1;
}

/* Return a metric's number, giving it one if it is new; -1 if it can have none. */
static inline int64_t hpctp_find(hpctp_state *h, const char *name) {
    size_t size = name ? strlen(name) : 0, at, step;
    uint64_t hash = size, word;
    hpctp_metric *one, **place;
    char *body;
    for (at = 0; at < size; at += step) {
        step = size - at < 8 ? size - at : 8, word = 0;
        memcpy(&word, name + at, step);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    for (place = &h->places[hash & 4095]; (one = *place) != NULL; place = &one->same)
        if (!strcmp(one->name, name)) return one->number;
    if (!size || size > HPCTP_NAME_MAX)
        return hpctp_say(h, 1, "the name of a metric has 1 to 512 bytes; others are not recorded"), -1;
    one = (hpctp_metric *)malloc(sizeof *one + size + 1);
    body = one ? hpctp_begin(h, 4 + size, HPCTP_NAME, 0) : NULL;
    if (!body) return free(one), -1;
    one->same = one->next = NULL, one->number = h->metrics++;
    one->name = (char *)memcpy(one + 1, name, size + 1);
    *place = *h->last = one, h->last = &one->next;
    memcpy(body, &one->number, 4), memcpy(body + 4, name, size);
    hpctp_publish(h);
    return one->number;
}

/* ---- the agent ---------------------------------------------------------------------------------- */
/* Find it: `hpctrack run` says where it is. A program that srun has started without that looks for
 * the agent which another task of its step may have started on this node; it leaves the same text. */
static inline int hpctp_find_agent(hpctp_state *h) {
    const char *path = getenv("HPCTRACK_AGENT"), *hello = getenv("HPCTRACK_HELLO"), *base;
    const char *job = getenv("SLURM_JOB_ID"), *step = getenv("SLURM_STEP_ID"), *again;
    static const char *const bases[] = {"HPCTRACK_RUNTIME_DIR", "SLURM_TMPDIR", "TMPDIR", NULL};
    char file[512], *end;
    struct stat found;
    size_t size = 0, i;
    FILE *text;
    if (path && hello) size = (size_t)snprintf(h->card, sizeof h->card, "%s\n%s", path, hello);
    for (i = 0; !size && job && step && i < 4; i++) {
        if (!(base = bases[i] ? getenv(bases[i]) : "/tmp")) continue;
        again = getenv("SLURM_RESTART_COUNT");
        snprintf(file, sizeof file, "%s/hpctrack-%u/slurm-%s.%s.%d/%d.join", base, (unsigned)getuid(),
                 job, step, 1 + (again ? atoi(again) : 0), HPCTP_WIRE);
        if (stat(file, &found) || found.st_uid != getuid() || !(text = fopen(file, "re"))) continue;
        size = fread(h->card, 1, sizeof h->card - 1, text), h->card[size] = 0, fclose(text);
    }
    h->hello = strchr(h->card, '\n'), end = strrchr(h->card, '}');
    if (!size || size >= sizeof h->card / 2 || !h->hello || !end || h->hello[1] != '{') return 0;
    *h->hello++ = *end = 0; /* where it ended we add what is ours */
    return strlen(h->card) < sizeof ((struct sockaddr_un *)0)->sun_path;
}

static inline void hpctp_hang_up(hpctp_state *h) {
    if (hpctp_has(&h->socket)) close(h->socket.fd);
    h->socket.fd = -1, h->out_size = h->in_got = 0;
}

/* Add a frame to what is to be sent, and send what the socket takes. */
static inline void hpctp_send(hpctp_state *h, int kind, const void *body, size_t size) {
    ssize_t sent;
    if (h->socket.fd < 0) return;
    if (kind && h->out_size + 8 + size > h->out_room) {
        char *more = (char *)realloc(h->out, 2 * (h->out_size + 8 + size));
        if (!more) { hpctp_hang_up(h); return; } /* and try again at the next look */
        h->out = more, h->out_room = 2 * (h->out_size + 8 + size);
    }
    if (kind) memcpy(hpctp_write_head(h->out + h->out_size, size, kind, 0), body, size);
    h->out_size += kind ? 8 + size : 0;
    sent = h->out_size ? send(h->socket.fd, h->out, h->out_size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (sent > 0) memmove(h->out, h->out + sent, h->out_size -= (size_t)sent);
}

/* Add to HELLO who we are: what launchers have told us; the agent knows what it means. */
static inline size_t hpctp_add_rank(hpctp_state *h, double now_s) {
    static const char *const names[] = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK",
        "TORCHELASTIC_RUN_ID", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS",
        "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_NODEID",
        "SLURM_STEP_TASKS_PER_NODE", "PMIX_RANK", "PMIX_SIZE", "PMIX_LOCAL_RANK", "PMIX_LOCAL_SIZE"};
    char *at = h->hello + strlen(h->hello);
    size_t i;
    long seconds = (long)now_s, micros = (long)(1e6 * (now_s - (double)seconds));
    at += sprintf(at, ",\"wire\":%d,\"pid\":%ld,\"wall_s\":%ld.%06ld,\"agents_lost\":%d,\"files\":1,"
                  "\"names_follow\":%u,\"environ\":{\"HPCTRACK\":\"\"", HPCTP_WIRE, (long)getpid(), seconds,
                  micros, h->losses, h->metrics);
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text && strlen(text) < 256 && !strpbrk(text, "\"\\"))
            at += sprintf(at, ",\"%s\":\"%s\"", names[i], text);
    }
    return (size_t)(at + sprintf(at, "}}") - h->hello);
}

/* Connect, say HELLO with the ring's descriptor, and name the metrics that there are. */
static inline void hpctp_connect(hpctp_state *h, double now_s) {
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } files;
    struct sockaddr_un address;
    struct msghdr message;
    struct iovec parts[2] = {{NULL, 8}, {h->hello, 0}};
    char head[8], name[4 + HPCTP_NAME_MAX];
    const hpctp_metric *one;
    size_t size;
    if (!hpctp_has(&h->ring) && !hpctp_make_ring(h)) return; /* the program has closed everything */
    if (!hpctp_keep(&h->socket, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))) return;
    parts[0].iov_base = head, parts[1].iov_len = size = hpctp_add_rank(h, now_s);
    hpctp_write_head(head, size, HPCTP_HELLO, 0);
    memset(&address, 0, sizeof address), memset(&message, 0, sizeof message);
    address.sun_family = AF_UNIX, strcpy(address.sun_path, h->card);
    message.msg_iov = parts, message.msg_iovlen = 2;
    message.msg_control = &files, message.msg_controllen = sizeof files.room;
    files.head.cmsg_level = SOL_SOCKET, files.head.cmsg_type = SCM_RIGHTS;
    files.head.cmsg_len = CMSG_LEN(sizeof(int)), memcpy(CMSG_DATA(&files.head), &h->ring.fd, sizeof(int));
    h->words[HPCTP_FRAMES] = 0;
    if (fcntl(h->socket.fd, F_SETFL, O_NONBLOCK)
        || connect(h->socket.fd, (struct sockaddr *)&address, sizeof address)
        || sendmsg(h->socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size + 8)
        hpctp_hang_up(h);
    h->connections += h->socket.fd >= 0;
    for (one = h->first; one && h->socket.fd >= 0; one = one->next) {
        memcpy(name, &one->number, 4), memcpy(name + 4, one->name, size = strlen(one->name));
        hpctp_send(h, HPCTP_NAME, name, 4 + size);
    }
}

/* Hear what the agent says, send what waits, and find another agent should this one be dead. */
static inline void hpctp_look(hpctp_state *h) {
    char data[1024];
    ssize_t size = 1, i;
    uint32_t body, known = (uint32_t)errno; /* the program's */
    h->looked_s = hpctp_now();
    while (h->socket.fd >= 0 && size > 0) {
        size = hpctp_has(&h->socket) ? recv(h->socket.fd, data, sizeof data, MSG_DONTWAIT) : 0;
        if (!size || (size < 0 && errno != EAGAIN && errno != EINTR))
            h->losses += hpctp_has(&h->socket), hpctp_hang_up(h);
        for (i = 0; i < size; i++) {
            if (h->in_got < sizeof h->in - 1) h->in[h->in_got] = data[i];
            memcpy(&body, h->in, 4);
            if (++h->in_got < 8 || h->in_got < 8 + (uint64_t)body) continue;
            h->in[h->in_got < sizeof h->in ? h->in_got : sizeof h->in - 1] = 0;
            h->in_got = 0;
            if (h->in[4] == HPCTP_DONE) h->is_done = 1;
            if (h->in[4] == HPCTP_STOP) __atomic_store_n(&h->is_stopped, 1, __ATOMIC_RELAXED);
            if (h->in[4] == HPCTP_NOTICE && strstr(h->in + 8, "\"error\"")) hpctp_say(h, 2, h->in + 8);
        }
    }
    if (h->socket.fd < 0 && hpctp_find_agent(h)) hpctp_connect(h, h->looked_s);
    if (!h->connections && h->looked_s > h->begun_s + 60) h->phase = HPCTP_OVER; /* in vain */
    hpctp_send(h, 0, NULL, 0);
    errno = (int)known;
}

/* ---- what is called ----------------------------------------------------------------------------- */
static inline void hpctp_at_exit(void) { hpct_finish(0); }
HPCT_API int hpct_init(void) {
    hpctp_state *h = &hpctp_the;
    const char *mode = getenv("HPCTRACK_MODE"), *local = getenv("SLURM_LOCALID");
    hpctp_metric *one;
    void *page;
    if (__atomic_load_n(&h->phase, __ATOMIC_ACQUIRE) && hpctp_is_child(h)) {
        hpctp_hang_up(h); /* let go of what is the parent's */
        if (hpctp_has(&h->ring)) close(h->ring.fd);
        for (; h->first; free(one)) one = h->first, h->first = one->next;
        memset(h, 0, sizeof *h);
    }
    if ((mode && !strcmp(mode, "disabled")) || !hpctp_lock(h)) return 0;
    if (h->phase) return hpctp_leave(h), h->phase == HPCTP_RECORDS && h->socket.fd >= 0;
    h->ring.fd = h->socket.fd = -1, h->last = &h->first, h->pid = getpid();
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | HPCTP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED && !syscall(SYS_madvise, page, 4096L, (long)HPCTP_WIPEONFORK))
        memcpy(page, &h->pid, sizeof h->pid), h->alive = (volatile int *)page;
    __atomic_store_n(&h->phase, HPCTP_OVER, __ATOMIC_RELEASE);
    if (!hpctp_make_ring(h))
        hpctp_say(h, 4, "no memory to share (ulimit -f, -n, -v): nothing is recorded");
    else {
        h->begun_s = hpctp_now();
        hpctp_look(h);
        if (h->socket.fd < 0 && (!local || atoi(local) == 0)) /* once on a node is enough */
            hpctp_say(h, 4, "no agent here, nothing is recorded: start each rank by `hpctrack run -- ...`");
        /* Within a job step, or where there has been one, there may be one a moment later. */
        if (h->hello || getenv("SLURM_STEP_ID")) __atomic_store_n(&h->phase, HPCTP_RECORDS, __ATOMIC_RELEASE);
        atexit(hpctp_at_exit);
    }
    hpctp_leave(h);
    return h->socket.fd >= 0;
}

HPCT_API int hpct_log_many(int64_t step, int count, const char *const *names, const double *values) {
    hpctp_state *h = &hpctp_the;
    int i, kept = 0;
    double now_s;
    if (!hpctp_enter(h, count)) return 0;
    now_s = hpctp_now();
    for (i = 0; i < count; i++) { /* a frame each: the agent reads alike ones in one go */
        int64_t number = hpctp_find(h, names[i]);
        char *to = number < 0 ? NULL : hpctp_begin(h, 28, HPCTP_POINTS, 1);
        if (!to) continue;
        memcpy(to, &step, 8), memcpy(to + 8, &now_s, 8);
        memcpy(to + 16, &number, 4), memcpy(to + 20, &values[i], 8);
        hpctp_publish(h);
        kept++;
    }
    if (kept < count) hpctp_drop(h, count - kept);
    if (now_s >= h->looked_s + 0.5 || now_s < h->looked_s) hpctp_look(h);
    hpctp_leave(h);
    return kept;
}

HPCT_API int hpct_log(const char *name, int64_t step, double value) {
    return hpct_log_many(step, 1, &name, &value);
}

HPCT_API int hpct_should_stop(void) {
    hpctp_state *h = &hpctp_the;
    double now_s = hpctp_now();
    if (hpctp_enter(h, 0)) {
        if (now_s >= h->looked_s + 0.5 || now_s < h->looked_s) hpctp_look(h);
        hpctp_leave(h);
    }
    return __atomic_load_n(&h->is_stopped, __ATOMIC_RELAXED);
}

HPCT_API uint64_t hpct_dropped(void) {
    const hpctp_state *h = &hpctp_the;
    return h->words ? __atomic_load_n(&h->words[HPCTP_DROPPED], __ATOMIC_RELAXED) : 0;
}

HPCT_API int hpct_finish(int exit_code) {
    hpctp_state *h = &hpctp_the;
    const char *asked_s = getenv("HPCTRACK_FINISH_TIMEOUT_S");
    long left_ms = 1000 * (asked_s ? strtol(asked_s, NULL, 10) : 30);
    int asked = 0;
    char end[64];
    if (!hpctp_enter(h, 0)) return 0;
    __atomic_store_n(&h->phase, HPCTP_OVER, __ATOMIC_RELEASE); /* from here on nobody else is inside */
    hpctp_leave(h);
    for (hpctp_look(h); h->connections && left_ms > 0 && !h->is_done; hpctp_look(h)) {
        struct pollfd p;
        if (h->socket.fd >= 0 && asked != h->connections) { /* once more, should the agent have died */
            snprintf(end, sizeof end, "{\"exit_code\":%d,\"wall_s\":%ld}", exit_code, (long)hpctp_now());
            hpctp_send(h, HPCTP_FINISH, end, strlen(end));
            asked = h->connections;
        }
        p.fd = h->socket.fd, p.events = (short)(POLLIN | (h->out_size ? POLLOUT : 0));
        if (p.fd < 0 && left_ms > 5000) left_ms = 5000; /* another agent comes soon, or never */
        left_ms -= poll(&p, 1, 50) > 0 ? 1 : 50;
    }
    if (h->connections && !h->is_done) hpctp_say(h, 8, "the agent has not confirmed: values may be missing");
    if (hpct_dropped()) hpctp_say(h, 16, "values were not recorded: `hpctrack show` says how many");
    hpctp_hang_up(h);
    return h->is_done;
}

#ifdef __cplusplus
}
#endif
#endif
