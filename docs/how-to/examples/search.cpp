// A random search: what an optimisation in C++ logs.
//
//     c++ -std=c++17 $(hpctrack cflags) search.cpp -o search
//     hpctrack run --project search -- ./search
#include <hpctrack.h>

#include <array>
#include <random>

int main()
{
    std::mt19937 random(1);
    std::normal_distribution<double> change(0.0, 0.5);
    std::array<double, 2> best{{3.0, -2.0}};
    double lowest = 13.0;

    hpct_init();
    for (std::int64_t trial = 0; trial < 500; ++trial) {
        const std::array<double, 2> point{{best[0] + change(random), best[1] + change(random)}};
        const double value = point[0] * point[0] + point[1] * point[1];
        if (value < lowest) {
            lowest = value;
            best = point;
        }
        hpct_log("value", trial, value);
        hpct_log("lowest", trial, lowest);
    }
    return hpct_finish(0) ? 0 : 1;
}
