#include "deployers/process/process.h"
#include "deployers/target.h"

#include <string.h>

static const struct target_ops *const kinds[] = {
	&process_target_ops,
	NULL,
};

const struct target_ops *const *target_registry(void)
{
	return kinds;
}

const struct target_ops *target_find(const char *kind)
{
	for (size_t i = 0; kinds[i]; i++)
		if (strcmp(kinds[i]->name, kind) == 0)
			return kinds[i];
	return NULL;
}
