#include "base/attempt/mask.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "tests/support/support.h"

#include <string.h>

static void collect(void *arg, const char *bytes, size_t len)
{
	buf_add(arg, bytes, len);
}

struct masked {
	struct mask *mask;
	struct mask_stream *stream;
	struct buf out;
};

static void begin(struct masked *m)
{
	mask_prepare(m->mask);
	buf_init(&m->out, 1 << 20);
	m->stream = mask_stream_new(m->mask, collect, &m->out);
}

static void end(struct masked *m)
{
	mask_stream_free(m->stream);
	mask_free(m->mask);
	buf_done(&m->out);
}

/* `chunks` are fed one by one; "|" ends a pattern list entry. */
static void check(const char *const *patterns, const char *const *chunks, const char *expected)
{
	struct masked m = {.mask = mask_new()};

	for (size_t i = 0; patterns[i]; i++)
		mask_add_pattern(m.mask, patterns[i], strlen(patterns[i]));
	begin(&m);
	for (size_t i = 0; chunks[i]; i++)
		mask_feed(m.stream, chunks[i], strlen(chunks[i]));
	mask_end(m.stream);
	assert_string_equal(m.out.data, expected);
	end(&m);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void occurrences_are_found_across_reads_and_in_themselves(void **state)
{
	(void)state;
	check(LIST("aab"), LIST("aa", "ab"), "a***");
	check(LIST("abX"), LIST("ababX"), "ab***");
	check(LIST("ababX"), LIST("abab", "ababX"), "abab***");
	check(LIST("ababX"), LIST("ab", "ab", "abX"), "ab***");
	check(LIST("aab"), LIST("a", "a", "a", "a", "b", "b"), "aa***b");
	check(LIST("secret"), LIST("a sec", "ond secr", "et."), "a second ***.");
	check(LIST("secret"), LIST("sec"), "sec");
	check(LIST("secret"), LIST("xsecretx", "secretsecret"), "x***x***");
	check(LIST("abcd", "cdef"), LIST("xabcdefx"), "x***x");
	check(LIST("abcdef", "cd"), LIST("abcdxcd"), "ab***x***");
	check(LIST("aba"), LIST("ababa!"), "***!");
	check(LIST("abc", "bc", "c"), LIST("xbc", "c", "ab"), "x***ab");
	check(LIST("a"), LIST("banana"), "b***n***n***");
}

static void what_may_still_become_a_secret_is_held_and_no_more(void **state)
{
	(void)state;
	struct masked m = {.mask = mask_new()};
	mask_add_pattern(m.mask, "secret", 6);
	begin(&m);
	mask_feed(m.stream, "progress 10% sec", 16);
	assert_string_equal(m.out.data, "progress 10% ");
	mask_feed(m.stream, "s", 1);
	assert_string_equal(m.out.data, "progress 10% sec");
	mask_feed(m.stream, "x", 1);
	assert_string_equal(m.out.data, "progress 10% secsx");
	end(&m);
}

/* The oracle: mark every byte of every occurrence, then write runs as "***". */
static void naive(const char *text, size_t len, const char (*patterns)[8], size_t n, struct buf *out)
{
	bool covered[256] = {false};

	for (size_t p = 0; p < n; p++)
		for (size_t at = 0, size = strlen(patterns[p]); at + size <= len; at++)
			if (memcmp(text + at, patterns[p], size) == 0)
				memset(covered + at, 1, size);
	for (size_t i = 0; i < len; i++) {
		if (!covered[i])
			buf_addc(out, text[i]);
		else if (i == 0 || !covered[i - 1])
			buf_adds(out, MASK_TEXT);
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void random_texts_agree_with_the_naive_way(void **state)
{
	(void)state;
	uint32_t seed = 2463534242U;
	for (int round = 0; round < 20000; round++) {
		char patterns[4][8] = {{0}};
		char text[256];
		struct buf expected;
		struct masked m = {.mask = mask_new()};
		size_t n = 1 + next_random(&seed) % 4, len = next_random(&seed) % 200;
		unsigned letters = 2 + next_random(&seed) % 2;
		for (size_t p = 0; p < n; p++) {
			size_t size = 1 + next_random(&seed) % 7;
			for (size_t i = 0; i < size; i++)
				patterns[p][i] = (char)('a' + next_random(&seed) % letters);
			mask_add_pattern(m.mask, patterns[p], size);
		}
		for (size_t i = 0; i < len; i++)
			text[i] = (char)('a' + next_random(&seed) % (letters + (next_random(&seed) % 3 == 0)));
		buf_init(&expected, 4096);
		naive(text, len, (const char(*)[8])patterns, n, &expected);
		begin(&m);
		for (size_t at = 0; at < len;) {
			size_t step = 1 + next_random(&seed) % 9;
			step = step < len - at ? step : len - at;
			mask_feed(m.stream, text + at, step);
			at += step;
		}
		mask_end(m.stream);
		assert_string_equal(m.out.data, expected.data);
		buf_done(&expected);
		end(&m);
	}
}

/* Feeds one text whole and byte by byte; both must come out as expected. */
static void check_secret(const char *secret, const char *text, const char *expected)
{
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct masked m = {.mask = mask_new()};
		size_t len = strlen(text);
		mask_add_secret(m.mask, secret, strlen(secret));
		begin(&m);
		for (size_t i = 0; bytewise && i < len; i++)
			mask_feed(m.stream, text + i, 1);
		if (!bytewise)
			mask_feed(m.stream, text, len);
		mask_end(m.stream);
		assert_string_equal(m.out.data, expected);
		end(&m);
	}
}

static void spellings_are_known(void **state)
{
	(void)state;
	static const struct {
		const char *secret, *text, *expected;
	} cases[] = {
		{"pa ss/w\"rd", "raw: pa ss/w\"rd!", "raw: ***!"},
		{"pa ss/w\"rd", "url: pa%20ss%2Fw%22rd&", "url: ***&"},
		{"pa ss/w\"rd", "url: pa%20ss%2fw%22rd&", "url: ***&"},
		{"pa ss/w\"rd", "form: pa+ss%2Fw%22rd&", "form: ***&"},
		{"pa ss/w\"rd", "path: pa%20ss/w%22rd", "path: ***"},
		{"pa ss/w\"rd", "json: \"pa ss/w\\\"rd\"", "json: \"***\""},
		{"pa ss/w\"rd", "json: \"pa ss\\/w\\\"rd\"", "json: \"***\""},
		{"line one\nline two", "json: line one\\nline two.", "json: ***."},
		{"line one\nline two", "shown: line two", "shown: ***"},
		{"line one\nab\nline two", "ab stays", "ab stays"},
		{"gr\xc3\xbc\xc3\x9f"
		 "e-\xf0\x9f\x94\x91",
		 "py: gr\\u00fc\\u00dfe-\\ud83d\\udd11", "py: ***"},
		/* printf '%s' secret-token | base64, and with one and two bytes before it, and more behind it */
		{"secret-token", "c2VjcmV0LXRva2Vu", "***"},
		{"secret-token", "eHNlY3JldC10b2tlbg==", "eH***g=="}, /* "x" + secret */
		{"secret-token", "eHhzZWNyZXQtdG9rZW4=", "eHh***4="}, /* "xx" + secret */
		{"secret-token", "c2VjcmV0LXRva2VuOnB3", "***OnB3"},  /* secret + ":pw" */
		{"secret-token", "eHh4c2VjcmV0LXRva2Vu", "eHh4***"},  /* "xxx" + secret */
		{"~~~>>>~~~>>>", "fn5+Pj4+fn5+Pj4+", "***"},
		{"~~~>>>~~~>>>", "fn5-Pj4-fn5-Pj4-", "***"},
		{"short", "short stays", "short stays"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_secret(cases[i].secret, cases[i].text, cases[i].expected);
}

static void no_secret_costs_nothing(void **state)
{
	(void)state;
	struct masked m = {.mask = mask_new()};
	begin(&m);
	mask_feed(m.stream, "anything\n", 9);
	assert_string_equal(m.out.data, "anything\n");
	end(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(occurrences_are_found_across_reads_and_in_themselves),
		cmocka_unit_test(what_may_still_become_a_secret_is_held_and_no_more),
		cmocka_unit_test(random_texts_agree_with_the_naive_way),
		cmocka_unit_test(spellings_are_known),
		cmocka_unit_test(no_secret_costs_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
