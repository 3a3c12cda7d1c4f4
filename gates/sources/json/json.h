/* The kind "json": a JSON document over HTTP, numbers by JSON pointers. */
#ifndef GATES_SOURCES_JSON_JSON_H
#define GATES_SOURCES_JSON_JSON_H

#include "gates/sources/source.h"

extern const struct source_ops json_source;
#endif
