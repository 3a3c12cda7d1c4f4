/* Output for people: aligned columns, colours and glyphs on a terminal, plain text elsewhere. What comes from a repository (messages,
 * branch names, reasons) is stripped of everything that could command a terminal. */
#ifndef RUNNER_CLI_SCREEN_H
#define RUNNER_CLI_SCREEN_H

#include "base/buf.h"
#include "base/json.h"

enum ink { INK_PLAIN, INK_DIM, INK_BOLD, INK_GREEN, INK_RED, INK_YELLOW, INK_BLUE };

struct screen {
	struct buf out;
	bool color, glyphs;
	bool addressable; /* a terminal that can be drawn over */
	bool ascii;       /* a terminal whose locale is not UTF-8: other characters are shown as "?" */
	unsigned width;   /* columns; 0: no limit */
};
/* Of standard output; NO_COLOR, TERM=dumb and the locale's character set are honoured. */
void screen_init(struct screen *screen);
bool screen_locale_is_utf8(void); /* by LC_ALL, LC_CTYPE, LANG */
/* Writes what was collected, and empties it. Returns the exit status. */
int screen_flush(struct screen *screen);
void screen_done(struct screen *screen);

void screen_ink(struct screen *screen, enum ink ink, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The first line of a stranger's text, made harmless; with `columns`, cut to as many. */
void screen_add_safe(struct buf *out, const char *text, unsigned columns);

enum ink outcome_ink(const char *state, const char *outcome);
/* One character for how a stage stands: "✔", or "+" where glyphs are not shown. */
const char *outcome_glyph(const struct screen *screen, const char *state, const char *outcome);
/* "success", or the state of what has not ended. */
const char *standing(const json_t *of);

/* Rows of cells. A row's last cell may be long: it is cut at the edge of the terminal. */
struct grid;
struct grid *grid_new(void);
void grid_free(struct grid *grid);
DEFINE_CLEANUP(struct grid, grid_free);
#define cleanup_grid CLEANUP(grid_free)
void grid_cell(struct grid *grid, enum ink ink, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void grid_number(struct grid *grid, enum ink ink, const char *fmt, ...) __attribute__((format(printf, 3, 4))); /* to the right */
void grid_row(struct grid *grid); /* ends the row */
void grid_print(const struct grid *grid, unsigned indent, struct screen *screen);

/* "2m05s ago" made short: "2m", "3h", "5d" */
void short_age(int64_t from_ms, char ret[24]);
/* How long it took, or takes by now; "" if it has not begun. */
void took(const json_t *of, char ret[24]);
#endif
