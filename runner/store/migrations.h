/* The database's history: migrations[i] brings version i to version i + 1. Append-only: a row that was released is never edited. */
#ifndef RUNNER_STORE_MIGRATIONS_H
#define RUNNER_STORE_MIGRATIONS_H

#include <stddef.h>

extern const char *const migrations[];
extern const size_t n_migrations;
#endif
