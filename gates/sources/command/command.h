/* The kind "command": an operator's program that writes a JSON document to its standard output. */
#ifndef GATES_SOURCES_COMMAND_COMMAND_H
#define GATES_SOURCES_COMMAND_COMMAND_H

#include "gates/sources/source.h"

extern const struct source_ops command_source;
#endif
