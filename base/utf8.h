/* UTF-8, character by character, and how wide a character stands on a terminal. Independent of the locale. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the character at `bytes` (len > 0 of them are there): its length in bytes, 1 to 4, or 0 if there is no valid one
 * (overlong forms, surrogates and what is beyond U+10FFFF are invalid: RFC 3629). */
size_t utf8_decode(const char *bytes, size_t len, uint32_t *ret);
/* Writes the character, 1 to 4 bytes and no NUL; returns how many. */
size_t utf8_encode(uint32_t c, char ret[4]);
/* Columns on a terminal: 0 for combining marks, 2 for East Asian wide and emoji, else 1 (Unicode 15, UAX #11, coarse). */
unsigned utf8_width(uint32_t c);
/* Control characters (tab and newline too) and those that break the line or turn the reading direction around: what must not
 * reach a terminal from a stranger's file. */
bool utf8_is_unprintable(uint32_t c);
/* Offset of the first byte that is not valid UTF-8, or len if all is well. */
size_t utf8_valid_prefix(const char *bytes, size_t len);
/* Number of characters; an invalid byte counts as one. */
size_t utf8_count(const char *bytes, size_t len);

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#endif
