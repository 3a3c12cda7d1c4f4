#include "data/table.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <math.h>

#define DEFAULT_MAX_ROWS ((size_t)100 * 1000 * 1000)
#define MAX_DISTINCT ((size_t)10 * 1000 * 1000)

static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a, 64 bits */
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
	return hash;
}

static void rehash(struct table_column *column, size_t slots)
{
	free(column->dictionary_index);
	column->dictionary_index = xcalloc(slots, sizeof(*column->dictionary_index));
	column->dictionary_slots = slots;
	for (size_t i = 0; i < column->n_dictionary; i++) {
		size_t at = hash_text(column->dictionary[i], strlen(column->dictionary[i])) & (slots - 1);
		while (column->dictionary_index[at])
			at = (at + 1) & (slots - 1);
		column->dictionary_index[at] = (uint32_t)i + 1;
	}
}

/* The text's place in the dictionary, which it enters if it is new; slots hold place + 1. */
static bool intern(struct table_column *column, const char *text, size_t len, uint32_t *ret)
{
	if (column->n_dictionary * 2 >= column->dictionary_slots)
		rehash(column, column->dictionary_slots ? column->dictionary_slots * 2 : 64);
	size_t at = hash_text(text, len) & (column->dictionary_slots - 1);
	uint32_t slot;
	while ((slot = column->dictionary_index[at])) {
		if (strcmp(column->dictionary[slot - 1], text) == 0) {
			*ret = slot - 1;
			return true;
		}
		at = (at + 1) & (column->dictionary_slots - 1);
	}
	if (column->n_dictionary >= MAX_DISTINCT)
		return false;
	column->dictionary =
		xgrow(column->dictionary, &column->dictionary_capacity, column->n_dictionary + 1, sizeof(*column->dictionary));
	column->dictionary[column->n_dictionary] = xstrndup(text, len);
	*ret = (uint32_t)column->n_dictionary++;
	column->dictionary_index[at] = *ret + 1;
	return true;
}

static size_t element_size(enum value_type type)
{
	switch (type) {
	case VALUE_INT64:
	case VALUE_TIMESTAMP:
		return sizeof(int64_t);
	case VALUE_FLOAT64:
		return sizeof(double);
	case VALUE_BOOL:
		return sizeof(uint8_t);
	case VALUE_STRING:
		return sizeof(uint32_t);
	}
	abort();
}

static bool store(struct table_column *column, size_t row, const char *text, size_t len)
{
	bool yes;
	switch (column->type) {
	case VALUE_INT64:
		return value_int64(text, len, &column->int64[row]);
	case VALUE_TIMESTAMP:
		return value_timestamp(text, len, &column->int64[row]);
	case VALUE_FLOAT64:
		return value_float64(text, len, &column->float64[row]);
	case VALUE_BOOL:
		if (!value_bool(text, len, &yes))
			return false;
		column->boolean[row] = yes;
		return true;
	case VALUE_STRING:
		return intern(column, text, len, &column->code[row]);
	}
	abort();
}

static void store_null(struct table_column *column, size_t row, size_t capacity)
{
	if (!column->is_null)
		column->is_null = xcalloc(capacity, 1);
	column->is_null[row] = 1;
	if (column->type == VALUE_FLOAT64)
		column->float64[row] = (double)NAN;
	else if (column->type == VALUE_STRING)
		(void)intern(column, "", 0, &column->code[row]);
	else
		memset((char *)column->int64 + row * element_size(column->type), 0, element_size(column->type));
}

static void grow_column(struct table_column *column, size_t from, size_t to)
{
	column->int64 = xrealloc(column->int64, to * element_size(column->type));
	if (column->is_null) {
		column->is_null = xrealloc(column->is_null, to);
		memset(column->is_null + from, 0, to - from);
	}
}

static int store_row(struct table *table, const struct table_want *wants, const long *places, const struct csv_record *record, size_t capacity,
		     const char *name, struct error **err)
{
	for (size_t i = 0; i < table->n_columns; i++) {
		const struct csv_field *field = &record->fields[places[i]];
		struct table_column *column = &table->columns[i];
		bool empty = field->len == 0 && !(field->quoted && column->type == VALUE_STRING);
		if (empty && !wants[i].nullable)
			return error_set(err, ERROR_INVALID, 0, "%s:%" PRIu64 ": column \"%s\" is empty", name, record->line, column->name);
		if (empty)
			store_null(column, table->n_rows, capacity);
		else if (!store(column, table->n_rows, field->text, field->len))
			return error_set(err, ERROR_INVALID, 0, "%s:%" PRIu64 ": column \"%s\": \"%.60s\" is no %s", name, record->line,
					 column->name, field->text, value_type_name(column->type));
	}
	table->n_rows++;
	return 0;
}

static int find_columns(const struct csv_reader *csv, const char *name, const struct table_want *wants, size_t n_wants, long *places,
			struct error **err)
{
	for (size_t i = 0; i < n_wants; i++) {
		places[i] = csv_column(csv, wants[i].name);
		if (places[i] >= 0)
			continue;
		char list[256] = "";
		size_t at = 0;
		for (size_t c = 0; c < csv_columns(csv) && at < sizeof(list) - 80; c++)
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%.60s", c ? ", " : "", csv_column_name(csv, c));
		return error_set(err, ERROR_INVALID, 0, "%s: no column \"%s\"; the columns are %s", name, wants[i].name, list);
	}
	return 0;
}

int table_read(struct csv_reader *csv, const char *name, const struct table_want *wants, size_t n_wants, const struct table_limits *limits,
	       struct table **ret, struct error **err)
{
	size_t max_rows = limits && limits->max_rows ? limits->max_rows : DEFAULT_MAX_ROWS;
	cleanup_free long *places = xcalloc(n_wants, sizeof(*places));
	if (find_columns(csv, name, wants, n_wants, places, err) < 0)
		return -1;
	cleanup_table struct table *table = xcalloc(1, sizeof(*table));
	table->columns = xcalloc(n_wants, sizeof(*table->columns));
	table->n_columns = n_wants;
	for (size_t i = 0; i < n_wants; i++) {
		table->columns[i].name = xstrdup(wants[i].name);
		table->columns[i].type = wants[i].type;
	}
	size_t capacity = 0;
	const struct csv_record *record;
	int rc;
	while ((rc = csv_next(csv, &record, err)) > 0) {
		if (table->n_rows == max_rows)
			return error_set(err, ERROR_TOO_LARGE, 0, "%s:%" PRIu64 ": more than %zu rows", name, record->line, max_rows);
		if (table->n_rows == capacity) {
			size_t grown = capacity ? capacity * 2 : 1024;
			for (size_t i = 0; i < n_wants; i++)
				grow_column(&table->columns[i], capacity, grown);
			capacity = grown;
		}
		if (store_row(table, wants, places, record, capacity, name, err) < 0)
			return -1;
	}
	if (rc < 0)
		return -1;
	*ret = STEAL(table);
	return 0;
}

int table_read_csv(const char *path, const struct table_want *wants, size_t n_wants, const struct table_limits *limits, struct table **ret,
		   struct error **err)
{
	cleanup_csv struct csv_reader *csv = NULL;
	if (csv_open(path, NULL, &csv, err) < 0)
		return -1;
	return table_read(csv, path, wants, n_wants, limits, ret, err);
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n_columns; i++) {
		struct table_column *column = &table->columns[i];
		for (size_t d = 0; d < column->n_dictionary; d++)
			free(column->dictionary[d]);
		free(column->dictionary);
		free(column->dictionary_index);
		free(column->is_null);
		free(column->int64);
		free(column->name);
	}
	free(table->columns);
	free(table);
}

const char *table_string(const struct table_column *column, size_t row)
{
	return column->dictionary[column->code[row]];
}
