/* Answers to our callers. They are queued and given from the loop, so that a caller is never called back from inside its own call, and
 * so that closing the target drops what is pending. */
#include "base/alloc.h"
#include "deployers/process/process_priv.h"

struct reply {
	struct reply *next;
	target_done_fn done;
	target_counts_fn counts;
	void *arg;
	uint64_t generation;
	struct error *err;
};

struct waiter {
	struct waiter *next;
	target_done_fn done;
	void *arg;
};

static void reply_free(struct reply *reply)
{
	error_free(reply->err);
	free(reply);
}

static void on_reply_timer(void *arg)
{
	struct process *process = arg;
	loop_timer_stop(process->reply_timer);
	process->reply_timer = NULL;
	struct reply *reply = process->replies;
	process->replies = reply->next;
	if (!process->replies)
		process->last_reply = &process->replies;
	else
		process->reply_timer = loop_timer_start(process->loop, 0, 0, on_reply_timer, process);
	if (reply->counts) {
		struct counts_report report;
		tally_take(process, &report);
		reply->counts(reply->arg, &report, NULL);
	} else {
		reply->done(reply->arg, reply->generation, reply->err);
	}
	reply_free(reply); /* the process may be gone by now */
}

static void queue(struct process *process, struct reply *reply)
{
	*process->last_reply = reply;
	process->last_reply = &reply->next;
	if (!process->reply_timer)
		process->reply_timer = loop_timer_start(process->loop, 0, 0, on_reply_timer, process);
}

void reply_done(struct process *process, target_done_fn done, void *arg, uint64_t generation, struct error *err)
{
	struct reply *reply = xcalloc(1, sizeof(*reply));
	*reply = (struct reply){.done = done, .arg = arg, .generation = generation, .err = err};
	queue(process, reply);
}

void reply_counts(struct process *process, target_counts_fn done, void *arg)
{
	struct reply *reply = xcalloc(1, sizeof(*reply));
	*reply = (struct reply){.counts = done, .arg = arg};
	queue(process, reply);
}

void replies_drop(struct process *process)
{
	loop_timer_stop(process->reply_timer);
	process->reply_timer = NULL;
	while (process->replies) {
		struct reply *reply = process->replies;
		process->replies = reply->next;
		reply_free(reply);
	}
}

void waiters_add(struct process *process, target_done_fn done, void *arg)
{
	struct waiter *waiter = xcalloc(1, sizeof(*waiter));
	*waiter = (struct waiter){.next = process->waiters, .done = done, .arg = arg};
	process->waiters = waiter;
}

void waiters_tell(struct process *process, uint64_t generation, enum error_code code, const char *message)
{
	while (process->waiters) {
		struct waiter *waiter = process->waiters;
		process->waiters = waiter->next;
		struct error *err = NULL;
		if (message)
			error_set(&err, code, 0, "target %s: %s", process->name, message);
		reply_done(process, waiter->done, waiter->arg, generation, err);
		free(waiter);
	}
}

void waiters_drop(struct process *process)
{
	while (process->waiters) {
		struct waiter *waiter = process->waiters;
		process->waiters = waiter->next;
		free(waiter);
	}
}
