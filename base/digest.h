/* SHA-256, HMAC-SHA256, random bytes and constant-time comparison, through OpenSSL's libcrypto. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_HEX_SIZE 65    /* 64 hex digits and NUL */
#define DIGEST_SIZE 72        /* "sha256:" + 64 hex digits + NUL */

struct sha256;
struct sha256 *sha256_new(void);
void sha256_free(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *bytes, size_t len);
void sha256_final(struct sha256 *hash, uint8_t ret[SHA256_BYTES]);
DEFINE_CLEANUP(struct sha256, sha256_free);

/* OCI form, "sha256:<hex>". */
void digest_of_bytes(const void *bytes, size_t len, char ret[DIGEST_SIZE]);
int digest_of_file(const char *path, char ret[DIGEST_SIZE], uint64_t *ret_size, struct error **err) must_check;
void digest_from_raw(const uint8_t raw[SHA256_BYTES], char ret[DIGEST_SIZE]);
bool digest_is_valid(const char *text); /* "sha256:" and 64 lower-case hex digits */

void hmac_sha256_hex(const void *key, size_t key_len, const void *bytes, size_t len, char ret[SHA256_HEX_SIZE]);
bool equal_constant_time(const void *a, const void *b, size_t len);

void hex_encode(const uint8_t *bytes, size_t len, char *ret); /* ret holds 2 * len + 1 */
void random_bytes(void *ret, size_t len);                     /* aborts if the system has none */
void random_hex(size_t n_bytes, char *ret);                   /* ret holds 2 * n_bytes + 1 */
#endif
