/* Numbers out of JSON documents, by JSON pointers (RFC 6901): what the kinds "json" and "command" share. Pure.
 *
 * RATE: two numbers. DISTRIBUTION: a mapping from classes to counts, or a list of counts by bin. MEAN: a number, or, if the document is of the
 * span alone, a list of numbers. null is no data. */
#ifndef GATES_SOURCES_JSON_DOCUMENT_H
#define GATES_SOURCES_JSON_DOCUMENT_H

#include "base/json.h"
#include "gates/sources/samples.h"
#include "gates/sources/source.h"

#define DOCUMENT_MAX_BYTES (4 << 20)

/* *ret is borrowed from the document. INVALID: no such pointer; NOT_FOUND: nothing there, naming the part that is not. */
int json_pointer(const json_t *document, const char *pointer, const json_t **ret, struct error **err) must_check;

/* What the pointers of a metric must be; `shared`: one document is for both arms, so that the pointers must tell them apart. As ops->check. */
const char *document_check(const struct analysis_metric *metric, bool shared, char *space, size_t size);
/* Fills the samples of one arm. `windowed` of the samples is set by the caller before. */
int document_take(const json_t *document, const struct analysis_metric *metric, const struct source_arm *arm, const struct source_span *span,
		  struct arm_samples *samples, struct error **err) must_check;
#endif
