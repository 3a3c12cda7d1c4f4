/* The table of false alarms: a line for each test in each world, with exact binomial limits, and whether what is promised was kept. */
#ifndef TESTS_BENCH_VALIDITY_REPORT_H
#define TESTS_BENCH_VALIDITY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#define ALPHA 0.05
#define LN_20 2.995732273553991

void report_title(const char *title);
/* Prints a line. False if the rate is promised to be at most ALPHA and so many hits have a probability below 0.001 at ALPHA. Nothing is printed for 0
 * runs. */
bool report_line(const char *name, const char *world, bool promised, uint64_t hits, uint64_t runs);

/* The parts of the table: each simulates so many runs of every row, and is true if all promises were kept. thorough: all guards against all numbers
 * of copies. */
bool more_kernels(uint64_t runs);
bool whole_analyses(uint64_t runs, bool thorough);
bool whole_rollouts(uint64_t runs, bool thorough);
#endif
