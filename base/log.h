/* The daemon's own log: one line per event at the edge, key=value on standard error, subject first.
 *     log_write(LOG_INFO, "run/12", "stage %s finished: %s", name, outcome);
 * 2026-11-23T21:37:54Z info run/12 stage train finished: success */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_set_level(enum log_level least);
void log_write(enum log_level level, const char *subject, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
