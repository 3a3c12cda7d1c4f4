/* The spellings in which a secret shows up in logs. Kept apart from the automaton: this is a list, that is an algorithm. */
#include "base/attempt/mask.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct text {
	char *data;
	size_t len;
};

/* Every encoder writes at most 12 bytes for one (a supplementary code point as two \u escapes takes 12 for its 4). */
static struct text text_for(size_t source_len)
{
	struct text text = {.data = malloc(source_len * 12 + 16)};

	if (!text.data)
		abort();
	return text;
}

static void put(struct text *text, char c)
{
	text->data[text->len++] = c;
}

static void add_and_free(struct mask *mask, struct text text)
{
	if (text.len >= MASK_MIN_BYTES)
		mask_add_pattern(mask, text.data, text.len);
	explicit_bzero(text.data, text.len);
	free(text.data);
}

static const char upper_hex[] = "0123456789ABCDEF", lower_hex[] = "0123456789abcdef";

/* RFC 3986 section 2.1; `keep` are characters left as they are besides the unreserved ones. */
static struct text percent(const unsigned char *bytes, size_t len, const char *hex, const char *keep, bool plus)
{
	struct text text = text_for(len);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = bytes[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c)) ||
			     (c && strchr(keep, c));
		if (plain) {
			put(&text, (char)c);
		} else if (plus && c == ' ') {
			put(&text, '+');
		} else {
			put(&text, '%');
			put(&text, hex[c >> 4]);
			put(&text, hex[c & 15]);
		}
	}
	return text;
}

static void put_u16(struct text *text, unsigned unit, const char *hex)
{
	put(text, '\\');
	put(text, 'u');
	for (int shift = 12; shift >= 0; shift -= 4)
		put(text, hex[(unit >> shift) & 15]);
}

/* Decodes one UTF-8 sequence; 0 if there is none at this place. */
static size_t utf8_at(const unsigned char *at, size_t left, uint32_t *ret)
{
	size_t n = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc2 ? 2 : 0;

	if (n == 0 || n > left)
		return 0;
	uint32_t code = at[0] & (0xffU >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3fU);
	}
	*ret = code;
	return n;
}

/* RFC 8259 section 7; C and Python string escapes agree with it for what secrets hold. */
static struct text json(const unsigned char *bytes, size_t len, bool ascii, bool slash)
{
	static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
	struct text text = text_for(len);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = bytes[i];
		const char *special = c ? strchr(from, c) : NULL;
		uint32_t code;
		size_t n;
		if (special || (slash && c == '/')) {
			put(&text, '\\');
			put(&text, special ? to[special - from] : '/');
		} else if (c < 0x20) {
			put_u16(&text, c, lower_hex);
		} else if (ascii && c >= 0x80 && (n = utf8_at(bytes + i, len - i, &code)) > 0) {
			if (code >= 0x10000) {
				put_u16(&text, 0xd800 + ((code - 0x10000) >> 10), lower_hex);
				put_u16(&text, 0xdc00 + ((code - 0x10000) & 0x3ff), lower_hex);
			} else {
				put_u16(&text, code, lower_hex);
			}
			i += n - 1;
		} else {
			put(&text, (char)c);
		}
	}
	return text;
}

/* RFC 4648 sections 4 and 5. With `before` unknown bytes in front (0, 1 or 2 modulo 3) only whole characters that the secret alone
 * decides are kept: the first 0, 2 or 3 depend on what stands before, the last partial one on what follows. */
static struct text base64(const unsigned char *bytes, size_t len, size_t before, const char *last_two)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	static const size_t undecided[] = {0, 2, 3};
	struct text text = text_for(len);
	size_t characters = (before + len) * 8 / 6;

	for (size_t i = undecided[before]; i < characters; i++) {
		unsigned value = 0;
		for (size_t bit = i * 6; bit < i * 6 + 6; bit++) {
			size_t at = bit / 8 - before;
			value = value << 1 | (unsigned)(bytes[at] >> (7 - bit % 8) & 1);
		}
		put(&text, value < 62 ? alphabet[value] : last_two[value - 62]);
	}
	return text;
}

static void add_spellings(struct mask *mask, const char *value, size_t len)
{
	const unsigned char *bytes = (const unsigned char *)value;

	if (len < MASK_MIN_BYTES)
		return;
	mask_add_pattern(mask, value, len);
	for (int lower = 0; lower < 2; lower++) {
		const char *hex = lower ? lower_hex : upper_hex;
		add_and_free(mask, percent(bytes, len, hex, "", false));
		add_and_free(mask, percent(bytes, len, hex, "", true));
		add_and_free(mask, percent(bytes, len, hex, "/", false));
		add_and_free(mask, percent(bytes, len, hex, "!*'()", false)); /* JavaScript's encodeURIComponent */
	}
	for (int ascii = 0; ascii < 2; ascii++) {
		add_and_free(mask, json(bytes, len, ascii, false));
		add_and_free(mask, json(bytes, len, ascii, true));
	}
	for (size_t before = 0; before < 3; before++) {
		add_and_free(mask, base64(bytes, len, before, "+/"));
		add_and_free(mask, base64(bytes, len, before, "-_"));
	}
}

void mask_add_secret(struct mask *mask, const char *value, size_t len)
{
	add_spellings(mask, value, len);
	if (!memchr(value, '\n', len))
		return;
	for (size_t from = 0; from < len;) {
		const char *newline = memchr(value + from, '\n', len - from);
		size_t end = newline ? (size_t)(newline - value) : len;
		size_t trimmed = end > from && value[end - 1] == '\r' ? end - 1 : end;
		add_spellings(mask, value + from, trimmed - from);
		from = end + 1;
	}
}
