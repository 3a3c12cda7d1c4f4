#include "base/attempt/mask.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Nodes are numbered from 1; 0 is "none", 1 the root. Children are sibling lists, because long chains are what secrets make. */
struct node {
	uint32_t child, sibling, fail;
	uint32_t depth;
	uint32_t match; /* length of the longest pattern that ends here, through the failure links; 0: none */
	unsigned char byte;
};
#define ROOT 1U

struct mask {
	struct node *nodes;
	size_t n, capacity;
	uint32_t from_root[256]; /* where nearly all bytes are looked up */
	uint32_t max_depth;
};

struct mask_stream {
	const struct mask *mask;
	mask_emit_fn emit;
	void *arg;
	uint32_t state;
	char *held;             /* the last depth(state) bytes of the input */
	unsigned char *covered; /* of each: does it belong to an occurrence? */
	size_t n_held;
	bool in_run; /* the last byte that became final was covered */
};

static void *allocate(void *old, size_t size)
{
	void *memory = realloc(old, size);

	if (!memory)
		abort();
	return memory;
}

static uint32_t new_node(struct mask *mask, unsigned char byte, uint32_t depth)
{
	if (mask->n == mask->capacity) {
		size_t capacity = mask->capacity ? mask->capacity * 2 : 1024;
		struct node *nodes = allocate(NULL, capacity * sizeof(*nodes));
		if (mask->n) {
			memcpy(nodes, mask->nodes, mask->n * sizeof(*nodes));
			explicit_bzero(mask->nodes, mask->n * sizeof(*nodes));
		}
		free(mask->nodes);
		mask->nodes = nodes;
		mask->capacity = capacity;
	}
	mask->nodes[mask->n] = (struct node){.byte = byte, .depth = depth};
	return (uint32_t)mask->n++;
}

struct mask *mask_new(void)
{
	struct mask *mask = allocate(NULL, sizeof(*mask));

	memset(mask, 0, sizeof(*mask));
	new_node(mask, 0, 0); /* "none" */
	new_node(mask, 0, 0); /* ROOT */
	return mask;
}

void mask_free(struct mask *mask)
{
	if (!mask)
		return;
	explicit_bzero(mask->nodes, mask->capacity * sizeof(*mask->nodes));
	free(mask->nodes);
	free(mask);
}

static uint32_t find_child(const struct mask *mask, uint32_t node, unsigned char byte)
{
	for (uint32_t child = mask->nodes[node].child; child; child = mask->nodes[child].sibling)
		if (mask->nodes[child].byte == byte)
			return child;
	return 0;
}

void mask_add_pattern(struct mask *mask, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	uint32_t node = ROOT;

	if (len == 0)
		return;
	for (size_t i = 0; i < len; i++) {
		uint32_t child = find_child(mask, node, at[i]);
		if (!child) {
			child = new_node(mask, at[i], (uint32_t)i + 1);
			mask->nodes[child].sibling = mask->nodes[node].child;
			mask->nodes[node].child = child;
		}
		node = child;
	}
	mask->nodes[node].match = (uint32_t)len;
	if (len > mask->max_depth)
		mask->max_depth = (uint32_t)len;
}

static uint32_t step(const struct mask *mask, uint32_t state, unsigned char byte)
{
	while (state != ROOT) {
		uint32_t child = find_child(mask, state, byte);
		if (child)
			return child;
		state = mask->nodes[state].fail;
	}
	return mask->from_root[byte] ? mask->from_root[byte] : ROOT;
}

void mask_prepare(struct mask *mask)
{
	uint32_t *queue = allocate(NULL, mask->n * sizeof(*queue));
	size_t head = 0, tail = 0;

	memset(mask->from_root, 0, sizeof(mask->from_root));
	mask->nodes[ROOT].fail = ROOT;
	for (uint32_t child = mask->nodes[ROOT].child; child; child = mask->nodes[child].sibling) {
		mask->from_root[mask->nodes[child].byte] = child;
		mask->nodes[child].fail = ROOT;
		queue[tail++] = child;
	}
	/* Breadth first: the failure node is nearer to the root, so it is complete when it is asked. */
	while (head < tail) {
		uint32_t node = queue[head++];
		for (uint32_t child = mask->nodes[node].child; child; child = mask->nodes[child].sibling) {
			uint32_t fail = step(mask, mask->nodes[node].fail, mask->nodes[child].byte);
			mask->nodes[child].fail = fail;
			if (mask->nodes[child].match == 0)
				mask->nodes[child].match = mask->nodes[fail].match;
			queue[tail++] = child;
		}
	}
	free(queue);
}

struct mask_stream *mask_stream_new(const struct mask *mask, mask_emit_fn emit, void *arg)
{
	struct mask_stream *stream = allocate(NULL, sizeof(*stream));

	*stream = (struct mask_stream){.mask = mask, .emit = emit, .arg = arg, .state = ROOT};
	stream->held = allocate(NULL, mask->max_depth + 1U);
	stream->covered = allocate(NULL, mask->max_depth + 1U);
	return stream;
}

void mask_stream_free(struct mask_stream *stream)
{
	if (!stream)
		return;
	explicit_bzero(stream->held, stream->mask->max_depth + 1U);
	free(stream->held);
	free(stream->covered);
	free(stream);
}

/* The first n held bytes can belong to no further occurrence. */
static void release(struct mask_stream *stream, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t from = i;
		bool covered = stream->covered[i];
		while (i < n && (stream->covered[i] != 0) == covered)
			i++;
		if (!covered)
			stream->emit(stream->arg, stream->held + from, i - from);
		else if (!stream->in_run)
			stream->emit(stream->arg, MASK_TEXT, sizeof(MASK_TEXT) - 1);
		stream->in_run = covered;
	}
	stream->n_held -= n;
	memmove(stream->held, stream->held + n, stream->n_held);
	memmove(stream->covered, stream->covered + n, stream->n_held);
}

void mask_feed(struct mask_stream *stream, const char *bytes, size_t len)
{
	const struct mask *mask = stream->mask;
	size_t i = 0;

	while (i < len) {
		if (stream->state == ROOT && stream->n_held == 0) {
			size_t from = i;
			while (i < len && !mask->from_root[(unsigned char)bytes[i]])
				i++;
			if (i > from) {
				stream->emit(stream->arg, bytes + from, i - from);
				stream->in_run = false;
			}
			if (i == len)
				return;
		}
		uint32_t next = step(mask, stream->state, (unsigned char)bytes[i]);
		const struct node *node = &mask->nodes[next];
		stream->held[stream->n_held] = bytes[i++];
		stream->covered[stream->n_held++] = 0;
		/* A match ending here began in what is held: before this byte the state was at least match - 1 deep. */
		if (node->match)
			memset(stream->covered + stream->n_held - node->match, 1, node->match);
		stream->state = next;
		if (stream->n_held > node->depth)
			release(stream, stream->n_held - node->depth);
	}
}

void mask_end(struct mask_stream *stream)
{
	release(stream, stream->n_held);
	stream->state = ROOT;
	stream->in_run = false;
}
