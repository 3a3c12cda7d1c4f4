/* Typed columns in memory, read whole from CSV: for predictions and references, which are small. (Validation streams instead.)
 *
 *     static const struct table_want wants[] = {{"label", VALUE_BOOL}, {"p", VALUE_FLOAT64}, {"country", VALUE_STRING}};
 *     struct table *table = NULL;
 *     if (table_read_csv(path, wants, ARRAY_SIZE(wants), NULL, &table, err) < 0) ...
 *     table->columns[1].float64[row]
 *
 * Only the wanted columns are kept, in the order asked for. A missing column or a value of the wrong type is INVALID with line,
 * column name and value. Strings are codes into a dictionary. */
#ifndef DATA_TABLE_H
#define DATA_TABLE_H

#include "data/csv.h"
#include "data/values.h"

struct table_want {
	const char *name;
	enum value_type type;
	bool nullable; /* false: an empty field is an error */
};

struct table_column {
	char *name;
	enum value_type type;
	uint8_t *is_null;      /* NULL if the column has none */
	union {
		int64_t *int64;    /* INT64, TIMESTAMP (microseconds) */
		double *float64;   /* null: NaN */
		uint8_t *boolean;
		uint32_t *code;    /* STRING: index into dictionary */
	};
	char **dictionary;     /* STRING: distinct values in order of appearance */
	size_t n_dictionary, dictionary_capacity;
	uint32_t *dictionary_index; /* open hashing; private to table.c */
	size_t dictionary_slots;
};

struct table {
	struct table_column *columns;
	size_t n_columns, n_rows;
};

struct table_limits { size_t max_rows; }; /* 0: 100 million */

int table_read_csv(const char *path, const struct table_want *wants, size_t n_wants, const struct table_limits *limits, struct table **ret,
		   struct error **err) must_check;
/* The same from an open reader, which is read to its end. */
int table_read(struct csv_reader *csv, const char *name, const struct table_want *wants, size_t n_wants, const struct table_limits *limits,
	       struct table **ret, struct error **err) must_check;
void table_free(struct table *table);
DEFINE_CLEANUP(struct table, table_free);
#define cleanup_table CLEANUP(table_free)

const char *table_string(const struct table_column *column, size_t row); /* STRING; "" for a null */
#endif
