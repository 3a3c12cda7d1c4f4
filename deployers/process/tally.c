/* What HAProxy's log says about the requests, added up per image until somebody asks. */
#include "base/alloc.h"
#include "deployers/process/process_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void tally_open(struct process *process)
{
	struct tally *tally = &process->tally;
	tally->sequence.tolerance = process->settings.threads - 1;
	tally->gap = true; /* nobody was listening before */
	tally_slots(process);
}

void tally_slots(struct process *process)
{
	struct tally *tally = &process->tally;
	for (size_t i = 0; i < process->instances.n; i++) {
		const struct instance *instance = process->instances.items[i];
		char *image = tally->slot_image[instance->slot];
		if (strcmp(image, instance->image) == 0)
			continue;
		snprintf(image, DIGEST_SIZE, "%s", instance->image);
		tally->fell_back[instance->slot] = 0;
	}
}

/* NULL for a slot that never had an image. */
static struct arm_counts *counts_of(struct tally *tally, int slot)
{
	const char *image = slot == SLOT_NONE ? "" : tally->slot_image[slot];
	if (!image[0])
		return NULL;
	for (size_t i = 0; i < tally->n_images; i++)
		if (strcmp(tally->images[i].image, image) == 0)
			return &tally->images[i].counts;
	if (tally->n_images == COUNTED_IMAGES) {
		/* Nobody has asked through six releases: the oldest goes, and the report says that something is missing. */
		memmove(&tally->images[0], &tally->images[1], (COUNTED_IMAGES - 1) * sizeof(tally->images[0]));
		tally->n_images--;
		tally->gap = true;
	}
	struct counted *counted = &tally->images[tally->n_images++];
	*counted = (struct counted){0};
	memcpy(counted->image, image, sizeof(counted->image));
	return &counted->counts;
}

/* id 0: no copy served it. */
static void add_instance(struct arm_counts *counts, uint32_t id, bool error)
{
	unsigned i = 0;
	while (i < counts->n_instances && counts->instance_ids[i] != id)
		i++;
	if (i == counts->n_instances) {
		if (i == MEASURE_INSTANCES)
			i--; /* the last place stands for all that have none */
		else
			counts->instance_ids[counts->n_instances++] = id;
	}
	counts->instances[i].n++;
	counts->instances[i].y += error;
}

static void add_completed(struct arm_counts *counts, const struct log_line *line, const struct log_effect *effect)
{
	counts->completed++;
	counts->errors += effect->error;
	counts->latency_sum_us += effect->latency_us;
	counts->latency_buckets[latency_ladder_index((double)effect->latency_us / 1000)]++;
	add_instance(counts, line->has_server ? line->server : 0, effect->error);
}

void tally_line(void *arg, const char *text, size_t len)
{
	struct process *process = arg;
	struct tally *tally = &process->tally;
	struct log_line line;
	struct log_effect effect;
	assert(process->magic == PROCESS_MAGIC);
	if (!log_line_parse(process->name, text, len, &line)) {
		/* HAProxy also tells of its own starting and stopping here; those lines do not begin with a number. */
		tally->gap = tally->gap || (len && text[0] >= '0' && text[0] <= '9');
		return;
	}
	if (!log_sequence_follows(&tally->sequence, line.pid, line.sequence))
		tally->gap = true;
	log_line_effect(&line, &effect);
	struct arm_counts *counts = counts_of(tally, effect.assigned);
	if (!counts)
		return;
	counts->assigned++;
	if (!tally->has_ppm || line.ppm < tally->ppm_min)
		tally->ppm_min = line.ppm;
	if (!tally->has_ppm || line.ppm > tally->ppm_max)
		tally->ppm_max = line.ppm;
	tally->has_ppm = true;
	if (effect.fell_back)
		tally->fell_back[effect.assigned]++;
	counts = counts_of(tally, effect.counted);
	if (!counts)
		return;
	add_completed(counts, &line, &effect);
}

void tally_broken(void *arg)
{
	struct process *process = arg;
	assert(process->magic == PROCESS_MAGIC);
	process->tally.gap = true;
}

/* The latest images come last in the list and go out first. */
void tally_take(struct process *process, struct counts_report *ret)
{
	struct tally *tally = &process->tally;
	*ret = (struct counts_report){
		.gap = tally->gap || tally->n_images > MAX_ARMS, .weight_ppm_min = tally->ppm_min, .weight_ppm_max = tally->ppm_max};
	for (size_t i = tally->n_images; i-- > 0 && ret->n_arms < MAX_ARMS;) {
		struct arm_report *report = &ret->arms[ret->n_arms++];
		snprintf(report->image, sizeof(report->image), "%s", tally->images[i].image);
		report->counts = tally->images[i].counts;
	}
	tally->n_images = 0;
	tally->gap = tally->has_ppm = false;
	tally->ppm_min = tally->ppm_max = 0;
}
