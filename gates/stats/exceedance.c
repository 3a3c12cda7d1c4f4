#include "gates/stats/exceedance.h"

#include <math.h>
#include <string.h>

#define LOWEST_MS 0.5
#define STEPS_PER_1_2 3.0
#define LN_1_2 0.18232155679395462

/* ---- the ladder ---- */

double latency_ladder_edge(size_t i)
{
	if (i >= LATENCY_LADDER_BUCKETS - 1)
		return INFINITY;
	return LOWEST_MS * exp((double)i * (LN_1_2 / STEPS_PER_1_2));
}

size_t latency_ladder_index(double ms)
{
	if (!(ms >= LOWEST_MS))
		return 0;
	double steps = log(ms / LOWEST_MS) / (LN_1_2 / STEPS_PER_1_2);
	size_t i = steps >= LATENCY_LADDER_BUCKETS - 1 ? LATENCY_LADDER_BUCKETS - 1 : (size_t)steps;
	/* The logarithm may land a hair beside an edge; the edges themselves decide. */
	while (i > 0 && ms < latency_ladder_edge(i - 1))
		i--;
	while (i < LATENCY_LADDER_BUCKETS - 1 && ms >= latency_ladder_edge(i))
		i++;
	return i;
}

uint64_t latency_ladder_total(const uint64_t buckets[LATENCY_LADDER_BUCKETS])
{
	uint64_t sum = 0;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++)
		sum += buckets[i];
	return sum;
}

double latency_ladder_quantile(const uint64_t buckets[LATENCY_LADDER_BUCKETS], double q)
{
	uint64_t total = latency_ladder_total(buckets), sum = 0;
	if (!total)
		return NAN;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS - 1; i++) {
		sum += buckets[i];
		if ((double)sum >= q * (double)total)
			return latency_ladder_edge(i);
	}
	return latency_ladder_edge(LATENCY_LADDER_BUCKETS - 2);
}

/* ---- pairs of edges ---- */

uint64_t exceedance_count(const uint64_t buckets[LATENCY_LADDER_BUCKETS], size_t k)
{
	uint64_t sum = 0;
	for (size_t i = k + 1; i < LATENCY_LADDER_BUCKETS; i++)
		sum += buckets[i];
	return sum;
}

/* What "at or above this edge" means for a latency that was rounded down. */
static double effective_edge(size_t k, double resolution_ms)
{
	double edge = latency_ladder_edge(k);
	return resolution_ms > 0 && isfinite(edge) ? ceil(edge / resolution_ms - 1e-9) * resolution_ms : edge;
}

bool exceedance_pair(size_t k, double ratio, double resolution_ms, enum block_null null, size_t *ret_j)
{
	/* A billionth of tolerance: 1.2 three steps on is 1.2 whatever exp() rounds to. */
	double wanted = effective_edge(k, resolution_ms) * ratio, slack = 1e-9 * wanted;
	size_t j = k;
	while (j < LATENCY_LADDER_BUCKETS - 1 && effective_edge(j, resolution_ms) < wanted - slack)
		j++;
	if (null == NULL_NOT_FINE)
		while (j > 0 && effective_edge(j, resolution_ms) > wanted + slack)
			j--;
	if (j >= LATENCY_LADDER_BUCKETS - 1)
		return false;
	*ret_j = j;
	return true;
}

/* ---- the test ---- */

static double stable_total(const struct exceedance *state)
{
	double sum = 0;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++)
		sum += state->stable[i];
	return sum;
}

static double stable_above(const struct exceedance *state, size_t k)
{
	double sum = 0;
	for (size_t i = k + 1; i < LATENCY_LADDER_BUCKETS; i++)
		sum += state->stable[i];
	return sum;
}

/* The first edge that at most `tail` of the past reached. */
static size_t edge_of_tail(const struct exceedance *state, double total, double tail)
{
	double above = 0;
	for (size_t k = LATENCY_LADDER_BUCKETS - 1; k > 0; k--) {
		above += state->stable[k];
		if (above > tail * total)
			return k < LATENCY_LADDER_BUCKETS - 1 ? k : LATENCY_LADDER_BUCKETS - 2;
	}
	return 0;
}

bool exceedance_edges(const struct exceedance *state, double q, size_t ret_k[EXCEEDANCE_SLOTS])
{
	double total = stable_total(state), tail = 1 - q;
	if (total * tail < 2 - 1e-9)
		return false;
	size_t above = edge_of_tail(state, total, tail), twice = edge_of_tail(state, total, 2 * tail < 1 ? 2 * tail : tail);
	ret_k[0] = above > 0 ? above - 1 : 0;
	ret_k[1] = above;
	ret_k[2] = twice < ret_k[0] ? twice : ret_k[0] > 0 ? ret_k[0] - 1 : 0;
	return true;
}

static void bet(struct eprocess *process, const struct exceedance *state, const uint64_t *stable, const uint64_t *candidate, size_t k,
		double ratio, double resolution_ms, enum block_null null)
{
	size_t j;
	if (!exceedance_pair(k, ratio, resolution_ms, null, &j))
		return;
	struct block2x2 block = {.n_a = latency_ladder_total(stable), .y_a = exceedance_count(stable, k),
				 .n_b = latency_ladder_total(candidate), .y_b = exceedance_count(candidate, j)};
	double alt_a = (stable_above(state, k) + 0.5) / (stable_total(state) + 1);
	eprocess_bet(process, &block, alt_a, 0, null);
}

void exceedance_add(struct exceedance *state, const uint64_t stable[LATENCY_LADDER_BUCKETS],
		    const uint64_t candidate[LATENCY_LADDER_BUCKETS], double q, double ratio, double resolution_ms)
{
	size_t k[EXCEEDANCE_SLOTS];
	if (exceedance_edges(state, q, k)) {
		for (size_t slot = 0; slot < EXCEEDANCE_SLOTS; slot++)
			bet(&state->harm[slot], state, stable, candidate, k[slot], ratio, resolution_ms, NULL_NOT_WORSE);
		for (size_t slot = 0; slot < EXCEEDANCE_SLOTS - 1; slot++)
			bet(&state->fine[slot], state, stable, candidate, k[slot], ratio, resolution_ms, NULL_NOT_FINE);
		state->harm_log_max = fmax(state->harm_log_max, exceedance_log_e_harm(state));
		state->fine_log_max = fmax(state->fine_log_max, exceedance_log_e_fine(state));
	}
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++)
		state->stable[i] += (double)stable[i];
}

void exceedance_step(struct exceedance *state)
{
	memset(state->fine, 0, sizeof(state->fine));
	state->fine_log_max = 0;
}

double exceedance_log_e_harm(const struct exceedance *state)
{
	double log_e[EXCEEDANCE_SLOTS], top = -INFINITY, sum = 0;
	for (size_t slot = 0; slot < EXCEEDANCE_SLOTS; slot++) {
		log_e[slot] = eprocess_log_e(&state->harm[slot], NULL_NOT_WORSE);
		top = fmax(top, log_e[slot]);
	}
	for (size_t slot = 0; slot < EXCEEDANCE_SLOTS; slot++)
		sum += exp(log_e[slot] - top);
	return top + log(sum / EXCEEDANCE_SLOTS);
}

double exceedance_log_e_fine(const struct exceedance *state)
{
	double least = eprocess_log_e(&state->fine[0], NULL_NOT_FINE);
	for (size_t slot = 1; slot < EXCEEDANCE_SLOTS - 1; slot++)
		least = fmin(least, eprocess_log_e(&state->fine[slot], NULL_NOT_FINE));
	return least;
}
