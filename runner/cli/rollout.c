/* `penstock rollout watch | show | list`: a rollout as it goes. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/diag.h"
#include "runner/cli/commands.h"
#include "runner/cli/rollout_commands.h"
#include "runner/cli/rollout_find.h"
#include "runner/cli/rollout_screen.h"
#include "runner/cli/screen.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

enum { LOOK_AGAIN_MS = 300, REDRAW_MS = 1000, RESTART_MS = 30 * 1000 };

static const struct cli_usage usage = {
	CLI_ONCE | CLI_JSON | CLI_SOCKET,
	1,
	2,
	"watch  shows a rollout as it goes, until it has ended: what it waits for, weights, ready copies, and for every metric\n"
	"       the values, the bound and how far the evidence is on its way to \"worse\" and to \"fine\"; then the log of\n"
	"       decisions. Redrawn in place on a terminal, a line for every change elsewhere. With --json one object a line for\n"
	"       every change.\n"
	"show   the same, once (`watch --once`).\n"
	"list   all rollouts (`penstock rollouts`).\n\n"
	"Without a name: the rollout that is under way, else the newest. A target's name: its newest rollout.",
	"0 promoted (show, list, --once: shown), 1 failed, or no such rollout, 2 wrong usage, 4 rolled back,\n"
	"5 the daemon is not reachable.",
	"penstock rollout watch prod"};

struct watch {
	const struct cli_arguments *arguments;
	int64_t id, last_event;
	json_t *rollout, *events; /* all so far */
	json_t *news;             /* events since the last showing */
	json_t *shown, *gist;
	bool terminal, begun;
	unsigned lines; /* of the page that stands on the terminal */
	uint64_t drawn_ms, seen_ms;
};

static void watch_done(struct watch *watch)
{
	json_decref(watch->rollout);
	json_decref(watch->events);
	json_decref(watch->news);
	json_decref(watch->shown);
	json_decref(watch->gist);
}
#define cleanup_watch __attribute__((cleanup(watch_done)))

static bool is_final(const json_t *rollout)
{
	return json_int_or(rollout, "finished_ms", 0) != 0;
}

int rollout_status(const json_t *rollout)
{
	const char *state = json_string_or(rollout, "state", "");
	return strcmp(state, "promoted") == 0 ? 0 : strcmp(state, "rolled_back") == 0 ? 4 : 1;
}

/* Without what changes at every look. */
json_t *rollout_without_times(const json_t *rollout)
{
	json_t *copy = json_deep_copy(rollout), *actual = json_object_get(copy, "actual"), *verdict = json_object_get(copy, "verdict");
	if (json_is_object(actual))
		json_object_del(actual, "seen_ms");
	if (json_is_object(verdict))
		json_object_del(verdict, "at_ms");
	return copy;
}

/* The rollout is asked first: an event that comes in between is shown a little early, never a state without its event. */
static int look(struct watch *watch, struct error **err)
{
	json_t *rollout;
	size_t before = json_array_size(watch->events);
	if (rollout_fetch(watch->arguments, watch->id, &rollout, err) < 0)
		return -1;
	json_decref(watch->rollout);
	watch->rollout = rollout;
	if (rollout_events(watch->arguments, watch->id, watch->last_event, watch->events, err) < 0)
		return -1;
	for (size_t i = before; i < json_array_size(watch->events); i++) {
		json_t *event = json_array_get(watch->events, i);
		watch->last_event = json_int_or(event, "id", watch->last_event);
		json_array_append(watch->news, event);
	}
	watch->seen_ms = clock_mono_ms();
	return 0;
}

static bool can_be_drawn_over(void)
{
	struct screen screen;
	screen_init(&screen);
	bool addressable = screen.addressable;
	screen_done(&screen);
	return addressable;
}

static unsigned rows_of_terminal(void)
{
	struct winsize size = {0};
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

/* Over the page before, line by line, so that nothing flickers; what is longer than the terminal is cut, since a page that scrolls
 * cannot be drawn over. */
static void draw_over(struct watch *watch, const struct buf *page, struct buf *out)
{
	unsigned rows = rows_of_terminal(), lines = 0;
	if (watch->lines)
		buf_addf(out, "\033[%uA\r", watch->lines);
	for (const char *line = page->data, *end; (end = strchr(line, '\n')) != NULL && (!rows || lines + 1 < rows); line = end + 1, lines++) {
		buf_add(out, line, (size_t)(end - line));
		buf_adds(out, "\033[K\n");
	}
	buf_adds(out, "\033[J");
	watch->lines = lines;
}

static int draw(struct watch *watch)
{
	struct screen screen;
	cleanup_buf struct buf out;
	buf_init(&out, 1 << 20);
	screen_init(&screen);
	add_rollout_screen(&screen, watch->rollout, watch->events, clock_wall_ms());
	if (watch->terminal) {
		draw_over(watch, &screen.out, &out);
		buf_reset(&screen.out);
		buf_add(&screen.out, out.data, out.len);
	}
	int status = screen_flush(&screen);
	screen_done(&screen);
	return status;
}

static int print_lines(struct watch *watch, bool changed)
{
	struct screen screen;
	json_t *gist = rollout_gist(watch->rollout);
	size_t i;
	const json_t *event;
	screen_init(&screen);
	json_array_foreach(watch->news, i, event) add_event_line(&screen, event);
	if (changed && !(watch->gist && json_equal(gist, watch->gist)) && !is_final(watch->rollout))
		add_rollout_line(&screen, watch->rollout, clock_wall_ms());
	json_decref(watch->gist);
	watch->gist = gist;
	int status = screen_flush(&screen);
	screen_done(&screen);
	return status;
}

static int print_object(const struct watch *watch)
{
	cleanup_json json_t *change =
		json_pack("{s:I, s:O, s:O}", "at_ms", (json_int_t)clock_wall_ms(), "rollout", watch->rollout, "events", watch->news);
	cleanup_free char *text = json_text(change);
	return printf("%s\n", text) < 0 || fflush(stdout) != 0 ? 5 : 0;
}

/* Returns the exit status. */
static int tell(struct watch *watch)
{
	json_t *bare = rollout_without_times(watch->rollout);
	bool changed = json_array_size(watch->news) > 0 || !watch->shown || !json_equal(bare, watch->shown);
	bool due = clock_mono_ms() - watch->drawn_ms >= REDRAW_MS, once = watch->arguments->once != NULL;
	int status = 0;
	json_decref(watch->shown);
	watch->shown = bare;
	if (watch->arguments->json)
		status = changed ? print_object(watch) : 0;
	else if (!watch->begun || (watch->terminal && (changed || due)))
		status = draw(watch);
	else if (!watch->terminal && changed)
		status = print_lines(watch, true);
	if (!watch->begun && !once && !watch->terminal)
		watch->gist = rollout_gist(watch->rollout);
	if (changed || due)
		watch->drawn_ms = clock_mono_ms();
	watch->begun = true;
	json_array_clear(watch->news);
	return status;
}

/* A daemon that restarts is waited for; the rollout goes on meanwhile. */
static int look_again(struct watch *watch, struct error **err)
{
	for (;;) {
		cleanup_error struct error *why = NULL;
		poll(NULL, 0, LOOK_AGAIN_MS);
		if (look(watch, &why) == 0)
			return 0;
		if (!error_retryable(why) || clock_mono_ms() - watch->seen_ms > RESTART_MS)
			return error_move(err, STEAL(why));
	}
}

static int watch_rollout(const struct cli_arguments *arguments, const char *word)
{
	cleanup_error struct error *err = NULL;
	cleanup_watch struct watch watch = {.arguments = arguments, .events = json_array(), .news = json_array()};
	watch.terminal = can_be_drawn_over() && !arguments->once;
	if (rollout_find(arguments, word, &watch.id, &err) < 0 || look(&watch, &err) < 0)
		return cli_fail(arguments, err);
	for (;;) {
		int status = tell(&watch);
		if (status != 0 || arguments->once)
			return status;
		if (is_final(watch.rollout))
			return rollout_status(watch.rollout);
		if (look_again(&watch, &err) < 0)
			return cli_fail(arguments, err);
	}
}

static int show_rollout(const struct cli_arguments *arguments, const char *word)
{
	struct cli_arguments once = *arguments;
	once.once = "";
	return watch_rollout(&once, word);
}

static int list_rollouts(const struct cli_arguments *arguments, const char *word)
{
	struct cli_arguments list = *arguments;
	list.target = word;
	return rollouts_print(&list);
}

int cli_rollout(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct cli_arguments *arguments, const char *word);
	} verbs[] = {{"watch", watch_rollout}, {"show", show_rollout}, {"list", list_rollouts}};
	struct cli_arguments arguments;
	const char *names[ARRAY_SIZE(verbs)];
	int status = cli_arguments_parse(argc, argv, &usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		names[i] = verbs[i].name;
		if (strcmp(names[i], arguments.words[0]) == 0)
			return verbs[i].run(&arguments, arguments.n_words > 1 ? arguments.words[1] : NULL);
	}
	const char *near = nearest_word(arguments.words[0], names, ARRAY_SIZE(verbs));
	fprintf(stderr, "penstock rollout: there is no \"%s\"%s%s%s\nTry `penstock rollout --help`.\n", arguments.words[0],
		near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	return 2;
}
