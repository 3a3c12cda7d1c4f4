#include "base/error.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

struct error {
	enum error_code code;
	int errnum;
	char *message;
};

static const struct {
	const char *name; /* as in the source, upper case; error_code_name() lowers it */
	int exit_status, http_status;
	bool retryable;
} codes[] = {
#define X(name, text, exit_status, http, retry) {#name, exit_status, http, retry},
	ERROR_CODES(X)
#undef X
};

static char *append_errno(char *message, int errnum)
{
	char space[128];
	char *whole = xasprintf("%s: %s", message, strerror_r(errnum, space, sizeof(space)));
	free(message);
	return whole;
}

int (error_set)(struct error **err, enum error_code code, int errnum, const char *fmt, ...)
{
	if (!err)
		return -1;
	if (*err) /* Our own mistake: the first error would be lost. */
		abort();
	if (code == ERROR_IO && (errnum == ENOSPC || errnum == EDQUOT))
		code = ERROR_NO_SPACE;
	va_list args;
	va_start(args, fmt);
	char *message = xvasprintf(fmt, args);
	va_end(args);
	struct error *e = xcalloc(1, sizeof(*e));
	e->code = code;
	e->errnum = errnum;
	e->message = errnum ? append_errno(message, errnum) : message;
	*err = e;
	return -1;
}

int (error_context)(struct error **err, const char *fmt, ...)
{
	if (!err || !*err)
		return -1;
	va_list args;
	va_start(args, fmt);
	char *context = xvasprintf(fmt, args);
	va_end(args);
	char *whole = xasprintf("%s: %s", context, (*err)->message);
	free(context);
	free((*err)->message);
	(*err)->message = whole;
	return -1;
}

int (error_move)(struct error **to, struct error *from)
{
	if (!to) {
		error_free(from);
	} else {
		if (*to && from)
			abort();
		if (from)
			*to = from;
	}
	return -1;
}

enum error_code error_code_of(const struct error *err)
{
	return err ? err->code : ERROR_INTERNAL;
}

int error_errno(const struct error *err)
{
	return err ? err->errnum : 0;
}

const char *error_message(const struct error *err)
{
	return err ? err->message : "no error was told";
}

const char *error_code_name(enum error_code code)
{
	static const char *const names[] = {
		[ERROR_INVALID] = "invalid",         [ERROR_USAGE] = "usage",
		[ERROR_UNAUTHORIZED] = "unauthorized", [ERROR_DENIED] = "denied",
		[ERROR_NOT_FOUND] = "not_found",     [ERROR_CONFLICT] = "conflict",
		[ERROR_TOO_LARGE] = "too_large",     [ERROR_UNSUPPORTED] = "unsupported",
		[ERROR_IO] = "io",                   [ERROR_NO_SPACE] = "no_space",
		[ERROR_PROTOCOL] = "protocol",       [ERROR_UNAVAILABLE] = "unavailable",
		[ERROR_TIMEOUT] = "timeout",         [ERROR_MISSING] = "missing",
		[ERROR_INTERNAL] = "internal",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == sizeof(codes) / sizeof(codes[0]), "a code without a name");
	return names[code];
}

int error_exit_status(const struct error *err)
{
	return codes[error_code_of(err)].exit_status;
}

int error_http_status(const struct error *err)
{
	return codes[error_code_of(err)].http_status;
}

bool error_retryable(const struct error *err)
{
	return codes[error_code_of(err)].retryable;
}

void error_free(struct error *err)
{
	if (!err)
		return;
	free(err->message);
	free(err);
}
