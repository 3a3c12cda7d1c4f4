#include "base/alloc.h"
#include "base/child.h"
#include "base/file.h"
#include "base/log.h"
#include "deployers/process/process_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Outlives the process if it is closed while the child still works; what the child makes is then found by the next daemon. */
struct image_job {
	struct process *process;
	struct child *child;
	char digest[DIGEST_SIZE];
};

char *image_dir(const struct process *process, const char *digest)
{
	return xasprintf("%s/images/%s", process->state_dir, strchr(digest, ':') + 1);
}

bool image_is_unpacked(const struct process *process, const char *digest)
{
	cleanup_free char *dir = image_dir(process, digest);
	return path_exists(dir);
}

void image_job_drop(struct image_job *job)
{
	if (!job)
		return;
	job->process = NULL;
	child_cancel(job->child);
}

static void on_unpacked(void *arg, const struct child_result *result)
{
	struct image_job *job = arg;
	struct process *process = job->process;
	struct error *err = NULL;
	if (!process) {
		free(job);
		return;
	}
	process->image_job = NULL;
	if (child_expect_success(result, "unpack", &err) < 0)
		error_context(&err, "image %.19s", job->digest);
	else if (!image_is_unpacked(process, job->digest))
		error_set(&err, ERROR_INTERNAL, 0, "image %.19s: `unpack` has made no files", job->digest);
	free(job);
	pass_finished(process, err);
}

void image_unpack_start(struct process *process, const char *digest)
{
	cleanup_free char *images = path_join(process->state_dir, "images");
	cleanup_free char *dir = image_dir(process, digest);
	const char *argv[] = {process->self, "unpack", "--layout", process->layout, "--image", digest, "--rootfs", dir, NULL};
	struct child_spec spec = {.argv = argv, .timeout_ms = 10 * 60 * 1000};
	struct error *err = NULL;
	struct image_job *job = xcalloc(1, sizeof(*job));
	job->process = process;
	snprintf(job->digest, sizeof(job->digest), "%s", digest);
	if (dir_make(images, 0711, &err) < 0 || child_start(process->loop, &spec, on_unpacked, job, &job->child, &err) < 0) {
		free(job);
		pass_finished(process, err);
		return;
	}
	process->image_job = job;
}

/* ---- what no copy needs any more ---- */

static bool is_used(const struct process *process, const char *name)
{
	for (size_t i = 0; i < process->instances.n; i++)
		if (strcmp(strchr(process->instances.items[i]->image, ':') + 1, name) == 0)
			return true;
	for (unsigned i = 0; i < process->desired.plan.n_arms; i++)
		if (strcmp(strchr(process->desired.plan.arms[i].image, ':') + 1, name) == 0)
			return true;
	return false;
}

/* As an image_job: what a removal that was broken off leaves begins with a dot, and the next one takes it. */
struct image_removal {
	struct process *process;
	struct child *child;
};

void image_removal_drop(struct image_removal *removal)
{
	if (!removal)
		return;
	removal->process = NULL;
	child_cancel(removal->child);
}

static void on_removed(void *arg, const struct child_result *result)
{
	struct image_removal *removal = arg;
	struct error *err = NULL;
	if (removal->process)
		removal->process->image_removal = NULL;
	free(removal);
	if (child_expect_success(result, "rm", &err) < 0 && !result->cancelled)
		log_write(LOG_WARNING, "process", "cannot remove unused images: %s", error_message(err));
	error_free(err);
}

/* Renamed first, so that a half-removed image is never taken for a whole one. */
static void set_aside(const char *images, const char *name, struct strlist *argv)
{
	cleanup_free char *from = path_join(images, name);
	if (name[0] == '.') {
		strlist_take(argv, STEAL(from));
		return;
	}
	cleanup_free char *to = xasprintf("%s/.unused-%s", images, name);
	if (rename(from, to) == 0)
		strlist_take(argv, STEAL(to));
	else
		log_write(LOG_WARNING, "process", "cannot set %s aside: %s", from, strerror(errno));
}

void images_forget_unused(struct process *process)
{
	if (process->image_removal)
		return; /* the next time takes what is left */
	cleanup_free char *images = path_join(process->state_dir, "images");
	cleanup_dir DIR *entries = opendir(images);
	cleanup_strlist struct strlist argv = {0};
	strlist_add(&argv, "rm");
	strlist_add(&argv, "-rf");
	strlist_add(&argv, "--");
	/* While an image is being unpacked what begins with a dot may be it. */
	for (struct dirent *entry; entries && !process->image_job && (entry = readdir(entries));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_used(process, entry->d_name))
			continue;
		set_aside(images, entry->d_name, &argv);
	}
	if (argv.n == 3)
		return;
	struct child_spec spec = {.argv = strlist_items(&argv), .timeout_ms = 10 * 60 * 1000};
	cleanup_error struct error *err = NULL;
	struct image_removal *removal = xcalloc(1, sizeof(*removal));
	removal->process = process;
	if (child_start(process->loop, &spec, on_removed, removal, &removal->child, &err) < 0) {
		free(removal);
		log_write(LOG_WARNING, process->subject, "cannot remove unused images: %s", error_message(err));
		return;
	}
	process->image_removal = removal;
}
