/* The version that people see; CHANGELOG.md tells what is in it. */
#ifndef RUNNER_VERSION_H
#define RUNNER_VERSION_H
#define PENSTOCK_VERSION "0.2.0"
#endif
