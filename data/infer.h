/* A first data schema from data: types, what is required and unique, the values of small sets, ranges of numbers and times. It fits the
 * data it was made from, and is a draft for a person who knows what the columns mean. */
#ifndef DATA_INFER_H
#define DATA_INFER_H

#include "base/buf.h"
#include "base/cleanup.h"

/* Appends YAML. One pass in bounded memory. Errors are those of data_check(). */
int data_infer(const char *path, struct buf *out, struct error **err) must_check;
#endif
