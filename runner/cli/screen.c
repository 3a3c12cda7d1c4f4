#include "runner/cli/screen.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>

enum { MAX_OUTPUT = 64 << 20, MAX_TEXT = 1 << 20, GAP = 2, LEAST_LAST = 16 };

/* As POSIX has it: the first of these that is set and not empty names the locale, and its end the character set. */
bool screen_locale_is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *locale = getenv(names[i]), *set = locale ? strchr(locale, '.') : NULL;
		if (locale && locale[0])
			return set && (strncasecmp(set, ".utf-8", 6) == 0 || strncasecmp(set, ".utf8", 5) == 0);
	}
	return false;
}

void screen_init(struct screen *screen)
{
	struct winsize size = {0};
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool terminal = isatty(STDOUT_FILENO), utf8 = screen_locale_is_utf8(), dumb = term && strcmp(term, "dumb") == 0;
	*screen = (struct screen){
		.glyphs = terminal && utf8,
		.ascii = terminal && !utf8,
		.addressable = terminal && !dumb,
		.color = terminal && !(no_color && no_color[0]) && !dumb,
	};
	if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		screen->width = size.ws_col;
	buf_init(&screen->out, MAX_OUTPUT);
}

/* Character by character, so that columns stay where they are. */
static void to_ascii(struct buf *out)
{
	cleanup_free char *text = xstrndup(out->data, out->len);
	size_t len = out->len;
	uint32_t c;
	buf_reset(out);
	for (size_t at = 0, n; at < len; at += n ? n : 1) {
		n = utf8_decode(text + at, len - at, &c);
		if (n == 1)
			buf_addc(out, text[at]);
		else
			buf_adds(out, n && c == 0x2026 ? "." : n && utf8_width(c) == 2 ? "??" : n && utf8_width(c) == 0 ? "" : "?");
	}
}

int screen_flush(struct screen *screen)
{
	if (screen->ascii)
		to_ascii(&screen->out);
	bool good = !screen->out.failed && fwrite(screen->out.data, 1, screen->out.len, stdout) == screen->out.len && fflush(stdout) == 0;
	buf_reset(&screen->out);
	return good ? 0 : 5;
}

void screen_done(struct screen *screen)
{
	buf_done(&screen->out);
}

static const char *const codes[] = {
	[INK_PLAIN] = "",       [INK_DIM] = "\033[2m",     [INK_BOLD] = "\033[1m",  [INK_GREEN] = "\033[32m",
	[INK_RED] = "\033[31m", [INK_YELLOW] = "\033[33m", [INK_BLUE] = "\033[36m",
};

static void add_inked(struct screen *screen, enum ink ink, const char *text)
{
	bool inked = screen->color && ink != INK_PLAIN;
	buf_addf(&screen->out, "%s%s%s", inked ? codes[ink] : "", text, inked ? "\033[0m" : "");
}

void screen_ink(struct screen *screen, enum ink ink, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvasprintf(fmt, args);
	va_end(args);
	cleanup_buf struct buf safe;
	buf_init(&safe, MAX_TEXT);
	screen_add_safe(&safe, text, 0);
	add_inked(screen, ink, safe.data);
}

static unsigned columns_of(const char *text)
{
	unsigned columns = 0;
	uint32_t c;
	for (size_t at = 0, len = strlen(text), n; at < len; at += n) {
		n = utf8_decode(text + at, len - at, &c);
		columns += n ? utf8_width(c) : 1;
		n = n ? n : 1;
	}
	return columns;
}

void screen_add_safe(struct buf *out, const char *text, unsigned columns)
{
	size_t len = strcspn(text, "\n");
	unsigned used = 0;
	uint32_t c;
	bool cut = columns && columns_of(text) > columns;
	for (size_t at = 0, n; at < len; at += n) {
		n = utf8_decode(text + at, len - at, &c);
		bool shown = n && !utf8_is_unprintable(c);
		used += shown ? utf8_width(c) : 1;
		if (cut && used >= columns) {
			buf_adds(out, "\xe2\x80\xa6");
			return;
		}
		n = n ? n : 1;
		if (shown)
			buf_add(out, text + at, n);
		else
			buf_adds(out, n && c == '\t' ? " " : "?");
	}
}

/* ---- outcomes ---- */

const char *standing(const json_t *of)
{
	const char *outcome = json_string_or(of, "outcome", "");
	return outcome[0] ? outcome : json_string_or(of, "state", "");
}

static const struct {
	const char *word;
	enum ink ink;
	const char *glyph, *letter;
} standings[] = {
	{"success", INK_GREEN, "\xe2\x9c\x94", "+"},    {"promoted", INK_GREEN, "\xe2\x9c\x94", "+"},     {"skipped", INK_DIM, "\xe2\x80\x93", "-"},
	{"cancelled", INK_YELLOW, "\xe2\x8a\x98", "/"}, {"rolled_back", INK_YELLOW, "\xe2\x86\xa9", "<"}, {"waiting", INK_DIM, "\xe2\x97\x8b", "."},
	{"queued", INK_DIM, "\xe2\x97\x8b", "."},       {"running", INK_BLUE, "\xe2\x97\x8f", ">"},       {"syncing", INK_BLUE, "\xe2\x97\x8f", ">"},
};

static size_t find_standing(const char *state, const char *outcome)
{
	const char *word = outcome[0] ? outcome : state;
	size_t i = 0;
	while (i < ARRAY_SIZE(standings) && strcmp(standings[i].word, word) != 0)
		i++;
	return i;
}

enum ink outcome_ink(const char *state, const char *outcome)
{
	size_t i = find_standing(state, outcome);
	return i < ARRAY_SIZE(standings) ? standings[i].ink : outcome[0] ? INK_RED : INK_BLUE;
}

const char *outcome_glyph(const struct screen *screen, const char *state, const char *outcome)
{
	size_t i = find_standing(state, outcome);
	if (i < ARRAY_SIZE(standings))
		return screen->glyphs ? standings[i].glyph : standings[i].letter;
	return !outcome[0] ? (screen->glyphs ? "\xe2\x97\x8f" : ">") : screen->glyphs ? "\xe2\x9c\x96" : "x";
}

/* ---- grids ---- */

struct cell {
	char *text;
	enum ink ink;
	bool right;
};
struct grid {
	struct cell *cells;
	size_t n, capacity;
	size_t *ends; /* index behind each row's last cell */
	size_t n_rows, row_capacity;
};

struct grid *grid_new(void)
{
	return xcalloc(1, sizeof(struct grid));
}

void grid_free(struct grid *grid)
{
	if (!grid)
		return;
	for (size_t i = 0; i < grid->n; i++)
		free(grid->cells[i].text);
	free(grid->cells);
	free(grid->ends);
	free(grid);
}

static void add_cell(struct grid *grid, enum ink ink, bool right, const char *fmt, va_list args) __attribute__((format(printf, 4, 0)));
static void add_cell(struct grid *grid, enum ink ink, bool right, const char *fmt, va_list args)
{
	cleanup_free char *text = xvasprintf(fmt, args);
	struct buf safe;
	buf_init(&safe, MAX_TEXT);
	screen_add_safe(&safe, text, 0);
	grid->cells = xgrow(grid->cells, &grid->capacity, grid->n + 1, sizeof(*grid->cells));
	grid->cells[grid->n++] = (struct cell){buf_steal(&safe), ink, right};
}

void grid_cell(struct grid *grid, enum ink ink, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	add_cell(grid, ink, false, fmt, args);
	va_end(args);
}

void grid_number(struct grid *grid, enum ink ink, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	add_cell(grid, ink, true, fmt, args);
	va_end(args);
}

void grid_row(struct grid *grid)
{
	grid->ends = xgrow(grid->ends, &grid->row_capacity, grid->n_rows + 1, sizeof(*grid->ends));
	grid->ends[grid->n_rows++] = grid->n;
}

static size_t row_start(const struct grid *grid, size_t row)
{
	return row ? grid->ends[row - 1] : 0;
}

static unsigned column_width(const struct grid *grid, size_t column)
{
	unsigned widest = 0;
	for (size_t row = 0; row < grid->n_rows; row++) {
		size_t at = row_start(grid, row) + column;
		if (at >= grid->ends[row])
			continue;
		unsigned columns = columns_of(grid->cells[at].text);
		widest = columns > widest ? columns : widest;
	}
	return widest;
}

static void print_last(const struct cell *cell, unsigned used, struct screen *screen)
{
	unsigned left = screen->width > used + LEAST_LAST ? screen->width - used : screen->width ? LEAST_LAST : 0;
	cleanup_buf struct buf text;
	buf_init(&text, MAX_TEXT);
	screen_add_safe(&text, cell->text, left);
	add_inked(screen, cell->ink, text.data);
}

void grid_print(const struct grid *grid, unsigned indent, struct screen *screen)
{
	for (size_t row = 0; row < grid->n_rows; row++) {
		unsigned used = indent;
		size_t end = grid->ends[row];
		while (end > row_start(grid, row) && !grid->cells[end - 1].text[0])
			end--; /* no blanks at the end of a line */
		buf_addf(&screen->out, "%*s", (int)indent, "");
		for (size_t at = row_start(grid, row); at < end; at++) {
			const struct cell *cell = &grid->cells[at];
			unsigned width = column_width(grid, at - row_start(grid, row)), blank = width - columns_of(cell->text);
			if (cell->right)
				buf_addf(&screen->out, "%*s", (int)blank, "");
			if (at + 1 == end) {
				print_last(cell, used + (cell->right ? blank : 0), screen);
				break;
			}
			add_inked(screen, cell->ink, cell->text);
			buf_addf(&screen->out, "%*s", (int)((cell->right ? 0 : blank) + GAP), "");
			used += width + GAP;
		}
		buf_addc(&screen->out, '\n');
	}
}

/* ---- times ---- */

void short_age(int64_t from_ms, char ret[24])
{
	int64_t s = (clock_wall_ms() - from_ms) / 1000;
	s = s < 0 ? 0 : s;
	if (s < 60)
		snprintf(ret, 24, "%llds", (long long)s);
	else if (s < 3600)
		snprintf(ret, 24, "%lldm", (long long)(s / 60));
	else if (s < 48 * 3600)
		snprintf(ret, 24, "%lldh", (long long)(s / 3600));
	else
		snprintf(ret, 24, "%lldd", (long long)(s / 86400));
}

void took(const json_t *of, char ret[24])
{
	int64_t started = json_int_or(of, "started_ms", 0), finished = json_int_or(of, "finished_ms", 0);
	ret[0] = '\0';
	if (!started)
		return;
	int64_t until = finished ? finished : clock_wall_ms();
	clock_span(until > started ? (uint64_t)(until - started) : 0, ret);
}
