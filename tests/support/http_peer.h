/* A scripted HTTP peer: a thread that expects requests one after another and answers each as it was told. The kernel chooses the
 * port. Each exchange is one connection.
 *
 *     static const struct http_exchange script[] = {
 *             {.expect_method = "GET", .expect_path = "/v2/", .status = 200, .body = "{}"},
 *             {.expect_path = "/slow", .hang = true},
 *     };
 *     struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
 *     ... http_peer_url(peer, "/v2/") ...
 *     http_peer_finish(peer);   // fails the test unless every exchange took place as expected; frees */
#ifndef TESTS_SUPPORT_HTTP_PEER_H
#define TESTS_SUPPORT_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct http_exchange {
	const char *expect_method, *expect_path; /* NULL: any */
	const char *expect_header;               /* a whole "Name: value" line, or NULL */
	const char *expect_body;                 /* whole, or NULL for any */
	int status;                              /* 0: 200 */
	const char *content_type, *headers;      /* headers: further lines, each ending in "\r\n" */
	const char *body;                        /* NULL: empty */
	size_t body_len;                         /* 0: strlen(body) */
	const char *raw;                         /* instead of all that: these bytes as they are, then close */
	bool drop;                               /* close without an answer */
	bool hang;                               /* no answer; the connection stays open until http_peer_finish() */
	bool hang_after;                         /* answers, but promises one byte more than it sends, and stays silent */
};

struct http_peer;
struct http_peer *http_peer_start(const struct http_exchange *script, size_t n);
struct http_peer *http_peer_start_unix(const char *path, const struct http_exchange *script, size_t n);
unsigned http_peer_port(const struct http_peer *peer);
/* "http://127.0.0.1:PORT" and path; owned by the peer, valid until the next call. */
const char *http_peer_url(struct http_peer *peer, const char *path);
/* The request with the given number, head and body, as it came; "" if it did not. Only after the client has its answer. */
const char *http_peer_request(const struct http_peer *peer, size_t index);
void http_peer_finish(struct http_peer *peer);
#endif
