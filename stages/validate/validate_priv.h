/* Between validate.c (the kind), report.c (what a check found, for programs and people) and command.c (`penstock validate`). */
#ifndef STAGES_VALIDATE_VALIDATE_PRIV_H
#define STAGES_VALIDATE_VALIDATE_PRIV_H

#include "base/buf.h"
#include "data/check.h"

/* {"verdict", "reason", "rows", "bytes", "files", "columns": [...], "checks": [...]} as PIPELINE.md's table has it. New reference. */
json_t *validate_report_json(const struct check_report *report);

/* One line for a failed verdict: "radius_mean: min 0: 1 of 569 rows (0.18%): line 18: -11.2; ..."; "" for a passed one. Checks that name rows come
 * first; at most three are told, the others counted. Control characters are blanks. At most about 400 bytes. */
void validate_reason(const struct check_report *report, struct buf *out);

/* Every failed check with its examples, a line each. */
void validate_print_failures(const struct check_report *report, struct buf *out);
/* A table of the columns. */
void validate_print_columns(const struct check_report *report, struct buf *out);
#endif
