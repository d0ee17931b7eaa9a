/* json.c - DICOM JSON (PS3.18 annex F) in, from servers of many makes.
 *
 * The text is walked once before jansson sees it: depth and number of brackets
 * and commas are bounded there, because jansson's tree costs far more than the
 * text, and of a top-level array only one member is a tree at a time.
 *
 * Lenient in form (a scalar where an array belongs, numbers for strings and
 * strings for numbers, null, keywords for tags, members that are no attributes,
 * names as plain strings), strict where a mistake could hide a failed instance:
 * what should be an item must be one, and an object without any attribute is no
 * data set.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/dataset_int.h"

#define VR_PN DICOM_VR('P', 'N')

/* A nested data set is an object in an array in an attribute. */
#define BRACKETS_DEPTH (3 * DICOM_DATASET_DEPTH + 4)
#define TOKENS_MAX     (4 * DICOM_DATASET_ELEMENTS)

struct cursor {
	const char *p, *end;
	unsigned    tokens;
};

struct parser {
	unsigned budget;
	unsigned depth;
};

static inline void
cleanup_json(json_t **j)
{
	json_decref(*j);
}

static bool
is_token(char ch)
{
	return ch == '{' || ch == '}' || ch == '[' || ch == ']' || ch == ',';
}

static int
count_token(struct cursor *c, unsigned *depth, char ch)
{
	if (ch == '{' || ch == '[')
		(*depth)++;
	else if (ch == '}' || ch == ']')
		(*depth)--;
	c->tokens++;
	return c->tokens > TOKENS_MAX || *depth > BRACKETS_DEPTH ? -EMSGSIZE : 0;
}

/* Over one value: up to the comma or closing bracket behind it, or the end. */
static int
skip_value(struct cursor *c)
{
	unsigned depth = 0;
	bool quoted = false;
	int r = 0;

	for (; c->p < c->end && r == 0; c->p++) {
		char ch = *c->p;

		if (quoted) {
			if (ch == '\\' && c->end - c->p > 1)
				c->p++;
			quoted = ch != '"';
			continue;
		}
		if (ch == '"')
			quoted = true;
		else if (!is_token(ch))
			continue;
		else if (depth == 0 && ch != '{' && ch != '[')
			return 0;
		else
			r = count_token(c, &depth, ch);
	}
	return r;
}

static void
skip_space(struct cursor *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' ||
	    *c->p == '\n' || *c->p == '\r'))
		c->p++;
}

/* --- values ---------------------------------------------------------------- */

/* The shortest form that reads back as the same number, in any locale. */
static int
add_real(struct dicom_attribute *a, double v)
{
	char text[32] = "0";	/* of -0.0 too */

	for (int digits = 15; digits <= 17 && v != 0; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	for (char *p = text; *p != '\0'; p++)
		if (*p == ',')
			*p = '.';
	return dicom_attribute_add_text(a, text, strlen(text));
}

/* Alphabetic=Ideographic=Phonetic, without the groups that are empty at its
 * end. */
static int
add_name(struct dicom_attribute *a, const json_t *name)
{
	static const char *const groups[] = { "Alphabetic", "Ideographic",
		"Phonetic" };
	struct buf b = BUF_INIT(DICOM_DATASET_BYTES);
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		const json_t *g = json_object_get(name, groups[i]);

		if (i > 0)
			(void)buf_add_char(&b, '=');
		if (json_is_string(g))
			(void)buf_add(&b, json_string_value(g),
			    strlen(json_string_value(g)));
	}
	while (b.len > 0 && b.data[b.len - 1] == '=')
		b.len--;
	r = buf_error(&b);
	if (r == 0)
		r = dicom_attribute_add_text(a, b.len > 0 ? b.data : "", b.len);
	buf_free(&b);
	return r;
}

static int parse_object(struct parser *p, const json_t *object,
    struct dicom_dataset **ret);

static int
add_item(struct parser *p, struct dicom_attribute *a, const json_t *v)
{
	struct dicom_dataset *item;
	int r;

	if (json_is_null(v))
		v = NULL;	/* an empty item */
	r = parse_object(p, v, &item);
	if (r < 0)
		return r;
	r = dicom_attribute_add_item(a, item);
	if (r < 0)
		dicom_dataset_free(item);
	return r;
}

static int
add_text(struct dicom_attribute *a, const json_t *v)
{
	char text[32];

	switch (json_typeof(v)) {
	case JSON_STRING:
		return dicom_attribute_add_text(a, json_string_value(v),
		    json_string_length(v));
	case JSON_INTEGER:
		(void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(v));
		return dicom_attribute_add_text(a, text, strlen(text));
	case JSON_REAL:
		return add_real(a, json_real_value(v));
	case JSON_TRUE:
		return dicom_attribute_add_text(a, "true", 4);
	case JSON_FALSE:
		return dicom_attribute_add_text(a, "false", 5);
	case JSON_NULL:
		return dicom_attribute_add_text(a, "", 0);
	default:
		return -EBADMSG;
	}
}

static int
add_value(struct parser *p, struct dicom_attribute *a, const json_t *v)
{
	int r = dicom_budget_take(&p->budget);

	if (r < 0)
		return r;
	if (json_is_object(v) && a->vr == VR_PN)
		return add_name(a, v);
	if (json_is_object(v) || a->vr == DICOM_VR_SQ)
		return add_item(p, a, v);
	return add_text(a, v);
}

/* --- attributes and data sets ---------------------------------------------- */

static int
add_values(struct parser *p, struct dicom_attribute *a, const json_t *values)
{
	int r = 0;

	if (values == NULL || json_is_null(values))
		return 0;
	if (!json_is_array(values))
		return add_value(p, a, values);
	for (size_t i = 0; i < json_array_size(values) && r == 0; i++)
		r = add_value(p, a, json_array_get(values, i));
	return r;
}

static int
parse_attribute(struct parser *p, struct dicom_dataset *d, dicom_tag_t tag,
    const json_t *object)
{
	struct dicom_attribute *a;
	const char *vr;
	int r;

	if (!json_is_object(object) && !json_is_null(object))
		return -EBADMSG;
	vr = json_string_value(json_object_get(object, "vr"));
	r = dicom_budget_take(&p->budget);
	if (r == 0)
		r = dicom_dataset_append(d, tag,
		    dicom_dataset_parse_vr(vr, tag), &a);
	if (r == 0)
		r = add_values(p, a, json_object_get(object, "Value"));
	return r;
}

/* Every attribute of the object; *ret_seen counts them. */
static int
parse_members(struct parser *p, const json_t *object, struct dicom_dataset *d,
    size_t *ret_seen)
{
	json_t *j = (json_t *)(uintptr_t)object, *value;
	const char *key;
	size_t seen = 0;

	json_object_foreach(j, key, value) {
		dicom_tag_t tag = dicom_dataset_parse_tag(key);
		int r;

		if (tag == 0)
			continue;
		seen++;
		r = parse_attribute(p, d, tag, value);
		if (r < 0)
			return r;
	}
	*ret_seen = seen;
	return 0;
}

/* NULL is an empty object. */
static int
parse_object(struct parser *p, const json_t *object, struct dicom_dataset **ret)
{
	struct dicom_dataset *d;
	size_t seen = 0;
	int r;

	if (object != NULL && !json_is_object(object))
		return -EBADMSG;
	if (p->depth == DICOM_DATASET_DEPTH)
		return -EMSGSIZE;
	p->depth++;
	d = dicom_dataset_new();
	r = parse_members(p, object, d, &seen);
	p->depth--;
	if (r == 0 && seen == 0 && json_object_size(object) > 0)
		r = -EBADMSG;
	if (r < 0) {
		dicom_dataset_free(d);
		return r;
	}
	dicom_dataset_seal(d);
	*ret = d;
	return 0;
}

/* --- the text -------------------------------------------------------------- */

static json_t *
load_json(const char *text, size_t len)
{
	json_error_t error;
	json_t *j = json_loadb(text, len, JSON_ALLOW_NUL, &error);

	/* An integer past 64 bits: as near as a number with a point can be. */
	if (j == NULL && json_error_code(&error) == json_error_numeric_overflow)
		j = json_loadb(text, len,
		    JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
	return j;
}

struct sets {
	struct dicom_dataset **set;
	size_t n, size;
};

static int
parse_one(struct parser *p, const char *text, size_t len, struct sets *out)
{
	AUTO(cleanup_json) json_t *j = load_json(text, len);
	struct dicom_dataset *d;
	int r;

	if (j == NULL)
		return -EBADMSG;
	r = dicom_budget_take(&p->budget);
	if (r == 0)
		r = parse_object(p, j, &d);
	if (r < 0)
		return r;
	if (out->n == out->size) {
		out->size = out->size == 0 ? 1 : out->size * 2;
		out->set = xreallocarray(out->set, out->size,
		    sizeof(out->set[0]));
	}
	out->set[out->n++] = d;
	return 0;
}

static int
parse_array(struct parser *p, struct cursor *c, struct sets *out)
{
	c->p++;
	skip_space(c);
	if (c->p < c->end && *c->p == ']')
		return 0;
	for (;;) {
		const char *start = c->p;
		int r = skip_value(c);

		if (r == 0)
			r = parse_one(p, start, (size_t)(c->p - start), out);
		if (r < 0)
			return r;
		if (c->p == c->end || *c->p == '}')
			return -EBADMSG;
		if (*c->p == ']')
			return 0;
		c->p++;
	}
}

static int
parse_text(struct parser *p, struct cursor *c, struct sets *out)
{
	const char *start;
	int r;

	skip_space(c);
	start = c->p;
	if (c->p == c->end)
		return -EBADMSG;
	if (*c->p == '[') {
		r = parse_array(p, c, out);
		if (r < 0)
			return r;
		c->p++;
		skip_space(c);
		return c->p == c->end ? 0 : -EBADMSG;
	}
	r = skip_value(c);
	return r < 0 ? r : parse_one(p, start, (size_t)(c->end - start), out);
}

int
dicom_json_parse(const char *text, size_t len, struct dicom_dataset ***ret,
    size_t *ret_n)
{
	struct parser p = { .budget = DICOM_DATASET_ELEMENTS };
	struct cursor c = { .p = text, .end = text + len };
	struct sets out = { 0 };
	int r;

	if (len > DICOM_DATASET_BYTES)
		return -EMSGSIZE;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		c.p += 3;
	r = parse_text(&p, &c, &out);
	if (r < 0) {
		dicom_datasets_free(out.set, out.n);
		return r;
	}
	*ret = out.set;
	*ret_n = out.n;
	return 0;
}
