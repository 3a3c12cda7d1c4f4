#include "data/infer.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/yaml.h"
#include "data/check.h"
#include "data/column.h"
#include "data/csv.h"

#define SMALL_SET 20 /* so many different texts make a set ... */
#define REPEATS 5    /* ... if on average each comes this often */
#define UNIQUE_TOLD ((size_t)1000 * 1000)

struct guess {
	bool may_be[VALUE_TIMESTAMP + 1];
	uint64_t nulls, values;
	struct value_set *seen;
	bool repeats, too_many;
	struct value least[VALUE_TIMESTAMP + 1], greatest[VALUE_TIMESTAMP + 1];
	/* The numbers as written, for float64. */
	char *least_text, *greatest_text;
	struct strlist texts; /* different ones, at most SMALL_SET + 1 */
};

static void guesses_free(struct guess *guesses, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		value_set_free(guesses[i].seen);
		strlist_done(&guesses[i].texts);
		free(guesses[i].least_text);
		free(guesses[i].greatest_text);
	}
	free(guesses);
}

/* 1 and 0 are numbers to begin with. */
static bool fits(enum value_type type, const struct csv_field *field, struct value *ret)
{
	return value_read(type, field->text, field->len, ret) && !(type == VALUE_BOOL && field->len == 1);
}

static void keep_text(char **text, const struct value *value)
{
	free(*text);
	*text = xstrndup(value->text, value->len);
}

static void note_type(struct guess *g, enum value_type type, const struct csv_field *field)
{
	struct value value;
	if (type == VALUE_STRING || !g->may_be[type])
		return;
	g->may_be[type] = fits(type, field, &value);
	if (!g->may_be[type])
		return;
	if (g->values == 1 || value_compare(&value, &g->least[type]) < 0) {
		g->least[type] = value;
		if (type == VALUE_FLOAT64)
			keep_text(&g->least_text, &value);
	}
	if (g->values == 1 || value_compare(&value, &g->greatest[type]) > 0) {
		g->greatest[type] = value;
		if (type == VALUE_FLOAT64)
			keep_text(&g->greatest_text, &value);
	}
}

static void note_field(struct guess *g, const struct csv_field *field)
{
	if (field->len == 0 && !field->quoted) {
		g->nulls++;
		return;
	}
	g->values++;
	switch (value_set_add(g->seen, fingerprint_of_bytes(field->text, field->len), 0, NULL)) {
	case SET_NEW:
		if (g->texts.n <= SMALL_SET)
			strlist_take(&g->texts, xstrndup(field->text, field->len));
		break;
	case SET_KNOWN:
		g->repeats = true;
		break;
	case SET_FULL:
		g->too_many = true;
		break;
	}
	for (int type = 0; type <= VALUE_TIMESTAMP; type++)
		note_type(g, (enum value_type)type, field);
}

static enum value_type type_of(const struct guess *g)
{
	static const enum value_type order[] = {VALUE_INT64, VALUE_FLOAT64, VALUE_BOOL, VALUE_TIMESTAMP};
	for (size_t i = 0; g->values && i < ARRAY_SIZE(order); i++)
		if (g->may_be[order[i]])
			return order[i];
	return VALUE_STRING;
}

/* JSON's quoting is YAML's. */
static void add_quoted(struct buf *out, const char *text)
{
	cleanup_json json_t *string = json_string(text);
	cleanup_free char *quoted = json_dumps(string, JSON_ENCODE_ANY);
	buf_adds(out, quoted ? quoted : "\"\"");
}

static void add_name(struct buf *out, const char *name)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
	static const char *const words[] = {"true", "false", "null", "True", "False", "Null", "TRUE", "FALSE", "NULL"};
	bool quote = strspn(name, plain) != strlen(name) || strchr("0123456789", name[0]);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		quote = quote || strcmp(name, words[i]) == 0;
	if (quote)
		add_quoted(out, name);
	else
		buf_adds(out, name);
}

static void add_range(struct buf *out, const struct guess *g, enum value_type type)
{
	char low[VALUE_TIMESTAMP_SIZE], high[VALUE_TIMESTAMP_SIZE];
	if (type == VALUE_INT64)
		buf_addf(out, ", min: %lld, max: %lld", (long long)g->least[type].whole, (long long)g->greatest[type].whole);
	else if (type == VALUE_FLOAT64)
		buf_addf(out, ", min: %s, max: %s", g->least_text, g->greatest_text);
	else if (type == VALUE_TIMESTAMP) {
		value_timestamp_text(g->least[type].whole, low);
		value_timestamp_text(g->greatest[type].whole, high);
		buf_addf(out, ", min: %s, max: %s", low, high);
	}
}

static void add_column(struct buf *out, const char *name, const struct guess *g)
{
	enum value_type type = type_of(g);
	bool unique = g->values > 1 && !g->repeats && !g->too_many && (type == VALUE_INT64 || type == VALUE_STRING);
	buf_adds(out, "  ");
	add_name(out, name);
	buf_addf(out, ": {type: %s", value_type_name(type));
	if (g->nulls == 0 && g->values > 0)
		buf_adds(out, ", required: true");
	if (unique)
		buf_adds(out, ", unique: true");
	if (g->values)
		add_range(out, g, type);
	if (type == VALUE_STRING && g->texts.n > 0 && g->texts.n <= SMALL_SET && g->values >= REPEATS * g->texts.n) {
		buf_adds(out, ", in: [");
		for (size_t i = 0; i < g->texts.n; i++) {
			buf_adds(out, i ? ", " : "");
			add_quoted(out, g->texts.items[i]);
		}
		buf_addc(out, ']');
	}
	buf_adds(out, "}\n");
}

static int read_rows(struct csv_reader *csv, struct guess *guesses, uint64_t *ret_rows, struct error **err)
{
	const struct csv_record *record;
	int rc;
	while ((rc = csv_next(csv, &record, err)) > 0) {
		(*ret_rows)++;
		for (size_t i = 0; i < record->n; i++)
			note_field(&guesses[i], &record->fields[i]);
	}
	return rc;
}

int data_infer(const char *path, struct buf *out, struct error **err)
{
	cleanup_csv struct csv_reader *csv = NULL;
	if (data_format_check(path, err) < 0 || csv_open(path, NULL, &csv, err) < 0)
		return -1;
	size_t n = csv_columns(csv);
	uint64_t rows = 0;
	struct guess *guesses = xcalloc(n, sizeof(*guesses));
	for (size_t i = 0; i < n; i++) {
		guesses[i].seen = value_set_new(UNIQUE_TOLD);
		memset(guesses[i].may_be, true, sizeof(guesses[i].may_be));
	}
	int rc = read_rows(csv, guesses, &rows, err);
	if (rc == 0) {
		buf_addf(out, "# Made from %llu rows. It fits them exactly: widen what may vary, drop what does not matter.\n",
			 (unsigned long long)rows);
		buf_adds(out, "rows: {min: 1}\nextra_columns: reject\ncolumns:\n");
		for (size_t i = 0; i < n; i++)
			add_column(out, csv_column_name(csv, i), &guesses[i]);
		if (out->len > YAML_MAX_BYTES)
			rc = error_set(err, ERROR_TOO_LARGE, 0, "%s: a schema for %zu columns would be larger than a schema may be", path, n);
	}
	guesses_free(guesses, n);
	return rc;
}
