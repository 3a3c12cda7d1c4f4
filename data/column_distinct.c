#include "data/column.h"

#include "base/alloc.h"

#include <assert.h>
#include <sys/random.h>

/* ---- SipHash-2-4 with 128 bits ---- */

struct sip {
	uint64_t v[4];
};

static uint64_t rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_rounds(struct sip *s, unsigned n)
{
	uint64_t *v = s->v;
	while (n-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

static void sip_word(struct sip *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_rounds(s, 2);
	s->v[0] ^= word;
}

static uint64_t sip_fold(const struct sip *s)
{
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

/* Drawn once a process, so that nobody can write data whose fingerprints all fall into one place. */
static const uint64_t *process_key(void)
{
	static uint64_t key[2];
	static bool drawn;
	if (!drawn && getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key)) {
		key[0] = UINT64_C(0x243f6a8885a308d3); /* no entropy yet: a fixed key is still correct */
		key[1] = UINT64_C(0x13198a2e03707344);
	}
	drawn = true;
	return key;
}

struct fingerprint fingerprint_of_bytes(const void *bytes, size_t len)
{
	const uint64_t *key = process_key();
	struct sip s = {{key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee, key[0] ^ UINT64_C(0x6c7967656e657261),
			 key[1] ^ UINT64_C(0x7465646279746573)}};
	const unsigned char *p = bytes;
	size_t left = len;
	for (; left >= 8; left -= 8, p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		sip_word(&s, word);
	}
	uint64_t last = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)p[i] << (8 * i);
	sip_word(&s, last);
	s.v[2] ^= 0xee;
	sip_rounds(&s, 4);
	struct fingerprint ret = {.a = sip_fold(&s)};
	s.v[1] ^= 0xdd;
	sip_rounds(&s, 4);
	ret.b = sip_fold(&s);
	return ret;
}

struct fingerprint fingerprint_of_value(const struct value *value)
{
	double number = value->number == 0 ? 0 : value->number; /* -0 is 0 */
	switch (value->type) {
	case VALUE_INT64:
	case VALUE_BOOL:
	case VALUE_TIMESTAMP:
		return fingerprint_of_bytes(&value->whole, sizeof(value->whole));
	case VALUE_FLOAT64:
		return fingerprint_of_bytes(&number, sizeof(number));
	case VALUE_STRING:
		return fingerprint_of_bytes(value->text, value->len);
	}
	abort();
}

/* ---- the set: open addressing, doubling ---- */

struct entry {
	uint64_t a, b, mark;
}; /* a == 0: free */

struct value_set {
	struct entry *entries;
	size_t slots, n, max;
};

struct value_set *value_set_new(size_t max_values)
{
	struct value_set *set = xcalloc(1, sizeof(*set));
	set->max = max_values;
	set->slots = 16;
	set->entries = xcalloc(set->slots, sizeof(*set->entries));
	return set;
}

void value_set_free(struct value_set *set)
{
	if (!set)
		return;
	free(set->entries);
	free(set);
}

static struct entry *find(const struct value_set *set, uint64_t a, uint64_t b)
{
	size_t at = a & (set->slots - 1);
	while (set->entries[at].a && (set->entries[at].a != a || set->entries[at].b != b))
		at = (at + 1) & (set->slots - 1);
	return &set->entries[at];
}

static void double_slots(struct value_set *set)
{
	struct value_set larger = {.slots = set->slots * 2, .n = set->n, .max = set->max};
	larger.entries = xcalloc(larger.slots, sizeof(*larger.entries));
	for (size_t i = 0; i < set->slots; i++)
		if (set->entries[i].a)
			*find(&larger, set->entries[i].a, set->entries[i].b) = set->entries[i];
	free(set->entries);
	*set = larger;
}

enum value_set_added value_set_add(struct value_set *set, struct fingerprint value, uint64_t mark, uint64_t *ret_mark)
{
	uint64_t a = value.a ? value.a : 1;
	struct entry *entry = find(set, a, value.b);
	if (entry->a) {
		if (ret_mark)
			*ret_mark = entry->mark;
		return SET_KNOWN;
	}
	if (set->n == set->max)
		return SET_FULL;
	*entry = (struct entry){a, value.b, mark};
	if (++set->n * 4 > set->slots * 3)
		double_slots(set);
	return SET_NEW;
}

bool value_set_has(const struct value_set *set, struct fingerprint value)
{
	return find(set, value.a ? value.a : 1, value.b)->a != 0;
}

size_t value_set_count(const struct value_set *set)
{
	return set->n;
}
