#include "gates/sources/source_driver.h"

#include "base/alloc.h"
#include "base/file.h"

#include <string.h>
#include <strings.h>

struct fetch {
	struct fetches *all;
	char *url;
	struct http_response response;
	struct error *err;
};

struct fetches {
	struct http_client *client;
	struct fetch *items;
	size_t n, n_ended;
	fetches_done_fn done;
	void *arg;
};

void fetches_drop(struct fetches *fetches)
{
	if (!fetches)
		return;
	http_client_free(fetches->client);
	for (size_t i = 0; i < fetches->n; i++) {
		free(fetches->items[i].url);
		http_response_done(&fetches->items[i].response);
		error_free(fetches->items[i].err);
	}
	free(fetches->items);
	free(fetches);
}

static void tell(struct fetches *fetches)
{
	cleanup_free struct fetched *results = xcalloc(fetches->n, sizeof(*results));

	for (size_t i = 0; i < fetches->n; i++) {
		const struct fetch *fetch = &fetches->items[i];
		results[i] = (struct fetched){.url = fetch->url,
					      .status = fetch->response.status,
					      .body = fetch->response.body,
					      .body_len = fetch->response.body_len,
					      .content_type = fetch->response.content_type,
					      .err = fetch->err};
	}
	fetches->done(fetches->arg, results, fetches->n);
	fetches_drop(fetches);
}

static void ended(void *arg, const struct http_response *response, struct error *err)
{
	struct fetch *fetch = arg;
	struct fetches *all = fetch->all;

	if (err) {
		error_set(&fetch->err, error_code_of(err), 0, "%s", error_message(err));
	} else {
		fetch->response = (struct http_response){.status = response->status,
							 .body = xmemdup(response->body, response->body_len + 1),
							 .body_len = response->body_len,
							 .content_type = xstrdup(response->content_type)};
	}
	if (++all->n_ended == all->n)
		tell(all);
}

struct fetches *fetches_start(struct loop *loop, const struct fetches_spec *spec, fetches_done_fn done, void *arg)
{
	struct fetches *fetches = xcalloc(1, sizeof(*fetches));

	fetches->client = http_client_new(loop);
	fetches->items = xcalloc(spec->n, sizeof(*fetches->items));
	fetches->n = spec->n;
	fetches->done = done;
	fetches->arg = arg;
	for (size_t i = 0; i < spec->n; i++) {
		struct http_request request = {
			.url = spec->urls[i], .headers = spec->headers, .timeout_ms = spec->timeout_ms, .max_response = spec->max_bytes};
		if (spec->forms) {
			request.method = "POST";
			request.body = spec->forms[i];
			request.body_len = strlen(spec->forms[i]);
		}
		fetches->items[i].all = fetches;
		fetches->items[i].url = xstrdup(spec->urls[i]);
		http_client_send(fetches->client, &request, ended, &fetches->items[i]);
	}
	return fetches;
}

int fetched_expect_ok(const struct fetched *result, struct error **err)
{
	if (result->err)
		return error_set(err, error_code_of(result->err), 0, "%s", error_message(result->err));
	if (result->status >= 300 && result->status < 400)
		return error_set(err, ERROR_PROTOCOL, 0, "%s: answers %ld; redirects are not followed, give the final address", result->url,
				 result->status);
	if (result->status != 200)
		return error_set(err, ERROR_UNAVAILABLE, 0, "%s: answers %ld instead of 200", result->url, result->status);
	return 0;
}

int source_headers(const char *accept, const char *bearer_file, struct strlist *ret, struct error **err)
{
	cleanup_free char *token = NULL;

	strlist_addf(ret, "Accept: %s", accept);
	if (!bearer_file)
		return 0;
	if (file_read(bearer_file, 16 * 1024, &token, NULL, err) < 0)
		return error_context(err, "bearer_file");
	size_t len = strlen(token);
	while (len && strchr(" \t\r\n", token[len - 1]))
		token[--len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (token[i] <= ' ' || token[i] >= 0x7f)
			len = 0;
	if (len == 0)
		return error_set(err, ERROR_INVALID, 0, "bearer_file: %s holds no token of printable characters", bearer_file);
	strlist_addf(ret, "Authorization: Bearer %s", token);
	return 0;
}

const char *source_url_problem(const char *url, bool query_allowed)
{
	size_t scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;

	if (!scheme)
		return "must begin with http:// or https://";
	size_t host = strcspn(url + scheme, "/?#");
	if (host == 0)
		return "has no host";
	if (memchr(url + scheme, '@', host))
		return "must hold no user or password: messages show it; use bearer_file";
	if (strpbrk(url, " \t\r\n"))
		return "holds blanks";
	if (!query_allowed && strpbrk(url, "?#"))
		return "must have no query and no fragment";
	return NULL;
}
