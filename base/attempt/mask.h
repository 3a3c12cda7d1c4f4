/* The secret masker: replaces every byte that belongs to an occurrence of a secret, in a stream, whatever the read boundaries.
 * libc only; out of memory aborts.
 *
 * Aho-Corasick over raw bytes (Aho and Corasick, CACM 18(6), 1975): the automaton's state is the longest suffix of the input that
 * begins some pattern, so exactly that many bytes are held back and everything before them is final. Occurrences may overlap one
 * another and themselves ("aab" in "aaab"); a run of covered bytes, touching occurrences included, becomes one "***".
 *
 * Patterns of a secret: raw; percent-encoded (upper and lower case hex, with and without "/" kept, "+" for space); escaped for JSON
 * and C strings (UTF-8 kept or as \u escapes); base64 and base64url at the three alignments, cut to the characters that the secret alone decides;
 * and, for a secret of several lines, all that again for each line. Nothing shorter than MASK_MIN_BYTES is a pattern.
 *
 *     struct mask *mask = mask_new();
 *     mask_add_secret(mask, value, len);
 *     mask_prepare(mask);
 *     struct mask_stream *stream = mask_stream_new(mask, emit, arg);
 *     mask_feed(stream, bytes, n);   // calls emit with what is final
 *     mask_end(stream);              // end of file: emits the rest
 */
#ifndef BASE_ATTEMPT_MASK_H
#define BASE_ATTEMPT_MASK_H

#include <stdbool.h>
#include <stddef.h>

#define MASK_MIN_BYTES 8
#define MASK_TEXT "***"

struct mask;
struct mask *mask_new(void);
void mask_free(struct mask *mask); /* clears its memory; NULL is fine */
/* One exact pattern, of any length above 0. */
void mask_add_pattern(struct mask *mask, const void *bytes, size_t len);
/* The secret in all its spellings; those under MASK_MIN_BYTES are left out. */
void mask_add_secret(struct mask *mask, const char *value, size_t len);
void mask_prepare(struct mask *mask); /* after the last pattern, before the first stream */

struct mask_stream;
typedef void (*mask_emit_fn)(void *arg, const char *bytes, size_t len);
struct mask_stream *mask_stream_new(const struct mask *mask, mask_emit_fn emit, void *arg);
void mask_stream_free(struct mask_stream *stream); /* drops what is held */
void mask_feed(struct mask_stream *stream, const char *bytes, size_t len);
void mask_end(struct mask_stream *stream); /* the stream can be fed anew afterwards */
#endif
