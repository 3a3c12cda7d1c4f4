/* The operator's words for a `process` target, read and checked. */
#ifndef DEPLOYERS_PROCESS_SETTINGS_H
#define DEPLOYERS_PROCESS_SETTINGS_H

#include "base/schema.h"

struct process_settings {
	char *frontend;
	char *preview; /* or NULL */
	uint16_t port_first, port_last;
	unsigned max_connections, threads;
	uint64_t request_timeout_ms, drain_ms, grace_ms;
	uint64_t memory_bytes; /* of one copy; 0: no limit */
	char *haproxy;         /* path of the program, or NULL: PATH */
};
extern const struct schema process_schema;
/* From a body that the schema has found right. */
int process_settings_read(const struct yaml_node *body, struct process_settings *ret, struct error **err) must_check;
void process_settings_done(struct process_settings *settings);
#endif
