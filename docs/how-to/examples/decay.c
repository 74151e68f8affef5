/* A rod that cools down: what a simulation in C logs.
 *
 *     cc $(hpctrack cflags) decay.c -o decay
 *     srun -n 4 hpctrack run --project heat -- ./decay
 */
#include <hpctrack.h>
#include <stdio.h>

enum { CELLS = 64, STEPS = 200 };

int main(void)
{
    double now[CELLS] = {0}, next[CELLS] = {0};
    const char *names[] = {"heat/total", "heat/hottest"};
    int step, cell;

    hpct_init();
    now[CELLS / 2] = 100;
    for (step = 0; step < STEPS && !hpct_should_stop(); step++) {
        double values[] = {0, 0}, change = 0;
        for (cell = 1; cell < CELLS - 1; cell++) {
            next[cell] = now[cell] + 0.25 * (now[cell - 1] - 2 * now[cell] + now[cell + 1]);
            change += (next[cell] - now[cell]) * (next[cell] - now[cell]);
        }
        for (cell = 0; cell < CELLS; cell++) {
            now[cell] = next[cell];
            values[0] += now[cell];
            if (now[cell] > values[1]) values[1] = now[cell];
        }
        hpct_log("residual", step, change);
        hpct_log_many(step, 2, names, values);
    }
    printf("done after %d steps\n", step);
    hpct_finish(0);
    return 0;
}
