/* The operator's file, penstock.yml (docs/operator.md): read at start and on SIGHUP; a bad file is refused whole. Plain data in one arena. */
#ifndef RUNNER_CONFIG_H
#define RUNNER_CONFIG_H

#include "deployers/target.h"
#include "pipelines/pipeline.h"

struct config_repository {
	const char *name, *url;       /* https://, http://, ssh refused in this build, file:// or absolute path only for local repositories the operator names */
	const char *provider;         /* "github", "penstock" */
	const char *webhook_secret;   /* name of a secret */
	const char *forks;            /* "approve" | "refuse" (this build refuses to run forks) */
};
struct config_target {
	const char *name, *kind;      /* kind: the one key that names a registered target kind */
	const struct yaml_node *body;
	struct globs allow_branches, allow_tags;
	unsigned approvals;
};
struct config_source {
	const char *name, *kind;      /* kind: the one key that names a registered kind of metric source */
	const struct yaml_node *body;
};
struct config {
	const char *file;
	const char *listen;           /* "127.0.0.1:8080"; port 0: the kernel chooses, and `serve` prints it and writes state/listen */
	const char *socket, *state;   /* absolute */
	const char *key_file;         /* sealing key, outside state; default <dir of penstock.yml>/penstock.key, created 0600 */
	unsigned parallel_stages;
	const struct config_repository *repositories; size_t n_repositories;
	const struct config_target *targets; size_t n_targets;
	const struct config_source *sources; size_t n_sources;
	uint64_t keep_runs_ms, keep_logs_ms;
	unsigned keep_images;
	struct arena *arena;
};
/* NULL and diagnostics on any mistake. Relative paths are taken from the file's folder. */
struct config *config_parse(const char *file, const char *text, size_t len, struct diag_list *diags);
/* Reads and parses; on mistakes the error's message is the printed diagnostics. */
int config_read(const char *file, struct config **ret, struct error **err) must_check;
/* For `penstock run`: no listener, no repositories, no targets; state under state_dir. */
struct config *config_local(const char *state_dir);
void config_free(struct config *config);
const struct config_repository *config_repository(const struct config *config, const char *name);
const struct config_target *config_target(const struct config *config, const char *name);
const struct config_source *config_source(const struct config *config, const char *name);
#endif
