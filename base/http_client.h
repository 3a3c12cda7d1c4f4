/* HTTP requests through libcurl: waiting (command line, native stages) or on the loop (curl multi). Certificates are checked,
 * redirects are off, answers have a size limit, only http and https. */
#ifndef BASE_HTTP_CLIENT_H
#define BASE_HTTP_CLIENT_H

#include "base/loop.h"

struct http_request {
	const char *method;            /* NULL: GET */
	const char *url;
	const char *unix_socket;       /* path, or NULL */
	const char *const *headers;    /* "Name: value", NULL-terminated, or NULL */
	const void *body;
	size_t body_len;
	uint64_t timeout_ms;           /* 0: 30 s; for streams the idle limit */
	size_t max_response;           /* 0: 16 MiB */
	/* Called with body bytes as they come instead of collecting them; non-zero ends the transfer. Waiting form only. */
	int (*on_data)(void *arg, const char *bytes, size_t len);
	void *on_data_arg;
};

struct http_response {
	long status;
	char *body; /* NUL-terminated */
	size_t body_len;
	char *content_type; /* or NULL */
};
void http_response_done(struct http_response *response);

/* Any complete answer is a success, whatever its status. Errors: UNAVAILABLE (could not connect), TIMEOUT, TOO_LARGE, PROTOCOL. */
int http_fetch(const struct http_request *request, struct http_response *ret, struct error **err) must_check;

struct http_client;
struct http_client *http_client_new(struct loop *loop);
void http_client_free(struct http_client *client); /* drops what is in flight without calling back */
typedef void (*http_done_fn)(void *arg, const struct http_response *response, struct error *err); /* exactly one of the two is set; both stay ours */
void http_client_send(struct http_client *client, const struct http_request *request, http_done_fn done, void *arg);
#endif
