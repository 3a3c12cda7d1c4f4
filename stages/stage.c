#include "stages/stage.h"

void stage_work_done(struct stage_work *work)
{
	strlist_done(&work->argv);
	strlist_done(&work->against_argv);
	for (size_t i = 0; i < work->n_in_files; i++) {
		free(work->in_files[i].name);
		free(work->in_files[i].bytes);
	}
	*work = (struct stage_work){0};
}
