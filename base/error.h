/* One error object for the whole project.
 *
 * A fallible function takes `struct error **err` last and returns 0, or a negative number after it set *err. On success
 * *err is untouched; `ret_` parameters are untouched on failure. Every module boundary wraps once, so that a message reads
 * `deploy prod: haproxy: set map: connection refused`. Expected outcomes (not found, rejected, undecided) are results.
 *
 *     cleanup_error struct error *err = NULL;
 *     if (file_read(path, MAX, &text, &err) < 0)
 *             return error_wrap(ret_err, &err, "read schema");   // or simply pass ret_err down and error_context()
 *
 * Passing NULL for err is allowed and drops the error. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

/* name, text, exit status of the command line (PIPELINE.md), HTTP status, retryable */
#define ERROR_CODES(X)                                                  \
	X(INVALID, "invalid input", 2, 400, false)                      \
	X(USAGE, "usage", 2, 400, false)                                \
	X(UNAUTHORIZED, "not authorized", 1, 401, false)                \
	X(DENIED, "denied", 1, 403, false)                              \
	X(NOT_FOUND, "not found", 1, 404, false)                        \
	X(CONFLICT, "conflict", 1, 409, false)                          \
	X(TOO_LARGE, "too large", 2, 413, false)                        \
	X(UNSUPPORTED, "not available in this build", 2, 501, false)    \
	X(IO, "input/output error", 5, 500, true)                       \
	X(NO_SPACE, "no space left", 5, 507, true)                      \
	X(PROTOCOL, "protocol error", 5, 502, true)                     \
	X(UNAVAILABLE, "unavailable", 5, 503, true)                     \
	X(TIMEOUT, "timed out", 5, 504, true)                           \
	X(MISSING, "missing component", 5, 500, false)                  \
	X(INTERNAL, "internal error", 5, 500, false)

enum error_code {
#define X(name, text, exit_status, http, retry) ERROR_##name,
	ERROR_CODES(X)
#undef X
};

struct error;

/* Tells the optimiser what the functions below return, so that it sees that nobody goes on after a failure. */
static inline int error_minus_one(int result)
{
	if (result != -1)
		__builtin_unreachable();
	return result;
}

/* Sets *err (which must be NULL or err itself NULL) to code and message; errnum 0 or an errno whose text is appended.
 * ENOSPC and EDQUOT turn ERROR_IO into ERROR_NO_SPACE. Always returns -1. */
int error_set(struct error **err, enum error_code code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define error_set(...) error_minus_one((error_set)(__VA_ARGS__))

/* Puts "context: " before the message of *err. Always returns -1, so that `return error_context(err, "git");` reads well. */
int error_context(struct error **err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define error_context(...) error_minus_one((error_context)(__VA_ARGS__))

/* Moves `from` into *to (dropping it if `to` is NULL). Always returns -1. */
int error_move(struct error **to, struct error *from);
#define error_move(...) error_minus_one((error_move)(__VA_ARGS__))

enum error_code error_code_of(const struct error *err);
int error_errno(const struct error *err);
/* The whole chain as one line; owned by err. */
const char *error_message(const struct error *err);
const char *error_code_name(enum error_code code); /* "not_found" */
int error_exit_status(const struct error *err);
int error_http_status(const struct error *err);
bool error_retryable(const struct error *err);

void error_free(struct error *err);
#endif
