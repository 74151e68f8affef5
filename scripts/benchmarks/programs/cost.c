/* What a call of hpct_log costs: the median of ten slices of 20,000 calls, with pauses in which the
 * agent catches up.
 *
 *     cc -O2 $(hpctrack cflags) scripts/benchmarks/programs/cost.c -o cost && hpctrack run -- ./cost
 */
#define _POSIX_C_SOURCE 200809L
#include <hpctrack.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLICES = 10, CALLS = 20000 };

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int compare(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

int main(void)
{
    const struct timespec pause = {0, 150000000};
    double costs[SLICES];
    int64_t step = 0;
    int slice, call;
    hpct_init();
    for (slice = 0; slice < SLICES; slice++) {
        double begun = now_ns();
        for (call = 0; call < CALLS; call++, step++) hpct_log("train/loss", step, 0.5 * (double)step);
        costs[slice] = (now_ns() - begun) / CALLS;
        nanosleep(&pause, NULL);
    }
    qsort(costs, SLICES, sizeof *costs, compare);
    printf("%.1f ns a call; %llu values dropped\n", (costs[4] + costs[5]) / 2,
           (unsigned long long)hpct_dropped());
    return hpct_finish(0) ? 0 : 1;
}
