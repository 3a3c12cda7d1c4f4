/* The body of a deploy stage into a plain rollout_spec. */
#include "stages/deploy/deploy_priv.h"

#include <math.h>

static void read_hold(const struct yaml_node *hold, uint64_t *at_least_ms, uint64_t *at_most_ms)
{
	yaml_duration_ms(yaml_get(hold, "at_least"), at_least_ms);
	yaml_duration_ms(yaml_get(hold, "at_most"), at_most_ms);
}

static void read_step(const struct yaml_node *step, struct rollout_spec *ret)
{
	bool mapping = step->kind == YAML_MAPPING;
	struct step_terms terms = {0};
	double share = 0;
	int64_t replicas = 0;
	yaml_fraction(mapping ? yaml_get(step, "weight") : step, &share);
	if (share >= 1 || ret->n_steps >= ROLLOUT_MAX_STEPS) /* 100% is implied */
		return;
	if (mapping) {
		read_hold(yaml_get(step, "hold"), &terms.hold_at_least_ms, &terms.hold_at_most_ms);
		yaml_int(yaml_get(step, "replicas"), &replicas);
		yaml_bool(yaml_get(step, "pause"), &terms.pause);
		yaml_bool(yaml_get(step, "approve"), &terms.approve);
	}
	terms.replicas = (unsigned)replicas;
	ret->terms[ret->n_steps] = terms;
	ret->steps_ppm[ret->n_steps++] = (uint32_t)lround(share * 1e6);
}

static void read_canary(const struct yaml_node *canary, struct rollout_spec *ret)
{
	static const uint32_t usual[] = {50000, 250000, 500000};
	const struct yaml_node *steps = yaml_get(canary, "steps");
	read_hold(yaml_get(canary, "hold"), &ret->hold_at_least_ms, &ret->hold_at_most_ms);
	if (!steps) {
		memcpy(ret->steps_ppm, usual, sizeof(usual));
		ret->n_steps = ARRAY_SIZE(usual);
	}
	for (size_t i = 0; steps && i < steps->n; i++)
		read_step(steps->values[i], ret);
}

static void read_blue_green(const struct yaml_node *blue_green, struct arena *arena, struct rollout_spec *ret)
{
	const struct yaml_node *verify = yaml_get(blue_green, "verify");
	bool mapping = verify && verify->kind == YAML_MAPPING;
	ret->verify_timeout_ms = 300000;
	if (verify)
		ret->verify_run = arena_strdup(arena, yaml_text(mapping ? yaml_get(verify, "run") : verify, ""));
	yaml_duration_ms(mapping ? yaml_get(verify, "timeout") : NULL, &ret->verify_timeout_ms);
	yaml_bool(yaml_get(blue_green, "approve"), &ret->verify_approve);
}

static void read_strategy(const struct yaml_node *strategy, struct arena *arena, struct rollout_spec *ret)
{
	const struct yaml_node *body = strategy && strategy->kind == YAML_MAPPING ? strategy : NULL;
	ret->hold_at_least_ms = HOLD_AT_LEAST_MS;
	ret->hold_at_most_ms = HOLD_AT_MOST_MS;
	ret->strategy = deploy_strategy(strategy);
	if (ret->strategy == STRATEGY_CANARY)
		read_canary(yaml_get(body, "canary"), ret);
	else if (ret->strategy == STRATEGY_BLUE_GREEN)
		read_blue_green(yaml_get(body, "blue_green"), arena, ret);
}

static void read_analysis(const struct yaml_node *analysis, struct arena *arena, struct rollout_spec *ret)
{
	const struct yaml_node *list = yaml_get(analysis, "metrics");
	int64_t requests = 100;
	ret->alpha = 0.05;
	yaml_fraction(yaml_get(analysis, "alpha"), &ret->alpha);
	yaml_int(yaml_get(analysis, "min_requests"), &requests);
	ret->min_requests = (uint64_t)requests;
	ret->undecided = deploy_policy(yaml_get(analysis, "undecided"));
	ret->no_data = deploy_policy(yaml_get(analysis, "no_data"));
	ret->provider_error = deploy_policy(yaml_get(analysis, "provider_error"));
	ret->split_broken = deploy_policy(yaml_get(analysis, "split_broken"));
	ret->bursts = deploy_guard(yaml_get(analysis, "bursts"));
	if (ret->strategy != STRATEGY_CANARY)
		return; /* there is nothing to compare while all traffic moves at once */
	for (size_t i = 0; list && i < list->n && ret->n_metrics < ROLLOUT_MAX_METRICS; i++)
		deploy_read_metric(list->values[i], arena, &ret->metrics[ret->n_metrics++]);
}

static void read_copies(const struct yaml_node *body, struct arena *arena, struct rollout_spec *ret)
{
	const struct yaml_node *health = yaml_get(body, "health"), *resources = yaml_get(body, "resources");
	int64_t replicas = 1, cpu = 0;
	yaml_int(yaml_get(body, "replicas"), &replicas);
	yaml_int(yaml_get(resources, "cpu"), &cpu);
	ret->replicas = (unsigned)replicas;
	ret->cpu = (unsigned)cpu;
	yaml_size_bytes(yaml_get(resources, "memory"), &ret->memory_bytes);
	ret->health_path = arena_strdup(arena, yaml_text(yaml_get(health, "path"), "/healthz"));
	ret->health_within_ms = ret->restart_after_ms = 30000;
	yaml_duration_ms(yaml_get(health, "within"), &ret->health_within_ms);
	yaml_duration_ms(yaml_get(health, "restart_after"), &ret->restart_after_ms);
}

void deploy_read(const struct yaml_node *body, struct arena *arena, struct rollout_spec *ret)
{
	*ret = (struct rollout_spec){.keep_old_ms = 600000};
	ret->target = arena_strdup(arena, yaml_text(yaml_get(body, "target"), ""));
	ret->image_stage = arena_strdup(arena, yaml_text(yaml_get(body, "image"), ""));
	yaml_duration_ms(yaml_get(body, "keep_old"), &ret->keep_old_ms);
	yaml_duration_ms(yaml_get(body, "rollback_window"), &ret->rollback_window_ms);
	ret->newer_waits = strcmp(yaml_text(yaml_get(body, "newer_release"), ""), "wait") == 0;
	read_copies(body, arena, ret);
	read_strategy(yaml_get(body, "strategy"), arena, ret);
	read_analysis(yaml_get(body, "analysis"), arena, ret);
}
