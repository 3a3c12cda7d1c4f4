#include "base/alloc.h"
#include "base/digest.h"
#include "tests/support/support.h"

/* FIPS 180-4 examples (NIST CSRC, "SHA-256 Example Values") and the empty message. */
static void sha256_agrees_with_the_published_examples(void **state)
{
	(void)state;
	static const struct {
		const char *text, *digest;
	} cases[] = {
		{"", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char digest[DIGEST_SIZE];
		digest_of_bytes(cases[i].text, strlen(cases[i].text), digest);
		assert_string_equal(digest, cases[i].digest);
	}
}

/* One million times "a": FIPS 180-2, appendix B.3. In pieces, so that updating is tried too. */
static void a_million_bytes_in_pieces_and_from_a_file_give_the_same(void **state)
{
	struct fixture *fixture = *state;
	static const char expected[] = "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
	cleanup_free char *text = xmalloc(1000001);
	memset(text, 'a', 1000000);
	text[1000000] = '\0';
	CLEANUP(sha256_free) struct sha256 *hash = sha256_new();
	for (size_t i = 0; i < 1000; i++)
		sha256_update(hash, text + 1000 * i, 1000);
	uint8_t raw[SHA256_BYTES];
	char digest[DIGEST_SIZE];
	sha256_final(hash, raw);
	digest_from_raw(raw, digest);
	assert_string_equal(digest, expected);

	cleanup_free char *path = fixture_write(fixture, "a", text);
	cleanup_error struct error *err = NULL;
	uint64_t size;
	assert_ok(digest_of_file(path, digest, &size, &err), err);
	assert_string_equal(digest, expected);
	assert_int_equal(size, 1000000);
	cleanup_free char *none = xasprintf("%s/none", fixture->dir);
	assert_int_equal(digest_of_file(none, digest, NULL, &err), -1);
	assert_error(err, ERROR_NOT_FOUND, fixture_text(fixture, "cannot read %s/none: No such file or directory"));
}

/* RFC 4231, test cases 1, 2, 3, 6 and 7; the last row is the example in GitHub's "Validating webhook deliveries". */
static void hmac_agrees_with_rfc_4231_and_github(void **state)
{
	(void)state;
	static char ones[131], dd[50], key1[20];
	memset(key1, 0x0b, sizeof(key1));
	memset(ones, 0xaa, sizeof(ones));
	memset(dd, 0xdd, sizeof(dd));
	const struct {
		const char *key;
		size_t key_len;
		const char *text;
		size_t len;
		const char *mac;
	} cases[] = {
		{key1, 20, "Hi There", 8, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"Jefe", 4, "what do ya want for nothing?", 28, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{ones, 20, dd, 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{ones, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
		 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{ones, 131,
		 "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed "
		 "before being used by the HMAC algorithm.",
		 152, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
		{"It's a Secret to Everybody", 26, "Hello, World!", 13,
		 "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char mac[SHA256_HEX_SIZE];
		hmac_sha256_hex(cases[i].key, cases[i].key_len, cases[i].text, cases[i].len, mac);
		assert_string_equal(mac, cases[i].mac);
	}
	/* An empty key is a key, not "the one of the last call". */
	char first[SHA256_HEX_SIZE], second[SHA256_HEX_SIZE];
	hmac_sha256_hex(NULL, 0, "x", 1, first);
	hmac_sha256_hex("other", 5, "x", 1, second);
	hmac_sha256_hex(NULL, 0, "x", 1, second);
	assert_string_equal(first, second);
}

static void digests_are_told_from_other_text(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", true},
		{"sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", false},
		{"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a", false},
		{"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0", false},
		{"sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", false},
		{"sha256:", false},
		{"", false},
		{NULL, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(digest_is_valid(cases[i].text), cases[i].valid);
}

static void random_bytes_differ_and_comparison_compares(void **state)
{
	(void)state;
	char a[65], b[65];
	random_hex(32, a);
	random_hex(32, b);
	assert_int_equal(strlen(a), 64);
	assert_int_equal(strspn(a, "0123456789abcdef"), 64);
	assert_string_not_equal(a, b);
	assert_true(equal_constant_time(a, a, 64));
	assert_false(equal_constant_time(a, b, 64));
	assert_true(equal_constant_time("", "", 0));
	char hex[7];
	hex_encode((const uint8_t *)"\x00\xab\xff", 3, hex);
	assert_string_equal(hex, "00abff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_agrees_with_the_published_examples),
		cmocka_unit_test_setup_teardown(a_million_bytes_in_pieces_and_from_a_file_give_the_same, fixture_setup, fixture_teardown),
		cmocka_unit_test(hmac_agrees_with_rfc_4231_and_github),
		cmocka_unit_test(digests_are_told_from_other_text),
		cmocka_unit_test(random_bytes_differ_and_comparison_compares),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
