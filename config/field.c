/* field.c - one written value into its field: texts, paths, numbers, words, and
 * lists of texts.
 */
#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"

#define DESCRIPTION_BYTES 1024

typedef void reader(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field);

void
config_report_wrong(struct config_check *c, const struct config_option *o,
    const struct node *n, const char *why)
{
	struct buf found = BUF_INIT(DESCRIPTION_BYTES);
	struct buf want = BUF_INIT(DESCRIPTION_BYTES);

	config_describe_found(n, &found);
	config_describe_wanted(o, &want);
	config_node_problem(c, n, "found %s%s%s; wanted %s", found.data,
	    why != NULL ? ", which " : "", why != NULL ? why : "", want.data);
	buf_free(&found);
	buf_free(&want);
}

static bool
is_plain(const struct node *n)
{
	return config_node_is_value(n) && !n->quoted;
}

static int
choice_index(const char *const *choices, const char *s)
{
	int i;

	for (i = 0; choices != NULL && choices[i] != NULL; i++)
		if (strcmp(choices[i], s) == 0)
			return i;
	return -EINVAL;
}

static char *
keep_text(struct config_check *c, const char *s)
{
	return config_arena_strndup(c->keep, s, strlen(s));
}

static void
read_text(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	bool ok = config_node_is_value(n);

	if (ok && o->type == CONFIG_TITLE)
		ok = config_title_ok(n->text) ||
		    choice_index(o->choices, n->text) >= 0;
	else if (ok && o->type == CONFIG_NAME)
		ok = config_name_ok(n->text);
	if (ok)
		*(char **)field = keep_text(c, n->text);
	else
		config_report_wrong(c, o, n, NULL);
}

static void
read_url(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	const char *why = NULL;
	size_t len;

	if (config_node_is_value(n))
		why = config_url_wrong(n->text);
	if (!config_node_is_value(n) || why != NULL) {
		config_report_wrong(c, o, n, why);
		return;
	}
	len = strlen(n->text);
	while (n->text[len - 1] == '/')
		len--;
	*(char **)field = config_arena_strndup(c->keep, n->text, len);
}

static const char *
user_name(char *b, size_t size)
{
	struct passwd pw, *found = NULL;
	char fields[1024];

	if (getpwuid_r(geteuid(), &pw, fields, sizeof(fields), &found) == 0 &&
	    found != NULL)
		(void)snprintf(b, size, "user %s", found->pw_name);
	else
		(void)snprintf(b, size, "user %lu", (unsigned long)geteuid());
	return b;
}

/* Never opened here: what is not a plain file might answer to being opened. */
static void
check_readable(struct config_check *c, const struct node *n, const char *path)
{
	struct stat st;
	char user[80];
	int error = 0;

	if (stat(path, &st) < 0 ||
	    faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
		error = errno;
	else if (!S_ISREG(st.st_mode))
		error = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	if (error != 0)
		config_node_problem(c, n, "%s cannot read %s: %s",
		    user_name(user, sizeof(user)), path, strerror(error));
}

static void
check_directory(struct config_check *c, const struct node *n, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		config_node_problem(c, n, "%s is not a directory", path);
}

static void
read_path(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	AUTO_FREE char *path = NULL;

	if (!config_node_is_value(n)) {
		config_report_wrong(c, o, n, NULL);
		return;
	}
	if (n->text[0] == '/')
		path = xstrdup(n->text);
	else
		path = xasprintf("%s/%s", strcmp(c->dir, "/") == 0 ? "" : c->dir,
		    n->text);
	if (o->type == CONFIG_FILE)
		check_readable(c, n, path);
	else if (o->type == CONFIG_DIR)
		check_directory(c, n, path);
	*(char **)field = keep_text(c, path);
}

static void
read_bool(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	static const char *const words[] = { "false", "true", NULL };
	int i = is_plain(n) ? choice_index(words, n->text) : -EINVAL;

	if (i < 0)
		config_report_wrong(c, o, n, NULL);
	else
		*(bool *)field = i == 1;
}

static int
parse_number(enum config_type type, const char *s, uint64_t *ret)
{
	switch (type) {
	case CONFIG_SIZE:
		return config_size_parse(s, ret);
	case CONFIG_DURATION:
		return config_duration_parse(s, ret);
	case CONFIG_RATE:
		return config_rate_parse(s, ret);
	case CONFIG_CLOCK:
		return config_clock_parse(s, ret);
	default:
		return config_uint_parse(s, ret);
	}
}

/* A rate of 0 could be meant as no limit, or as nothing at all. */
static bool
in_range(const struct config_option *o, uint64_t v)
{
	return v >= o->min && (o->max == 0 || v <= o->max) &&
	    (o->type != CONFIG_RATE || v > 0);
}

/* A time of day may be quoted: elsewhere in YAML 07:00 is a number. */
static void
read_number(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	bool ok = o->type == CONFIG_CLOCK ? config_node_is_value(n) : is_plain(n);
	uint64_t v = 0;

	if (ok && o->none && strcmp(n->text, "none") == 0) {
		*(uint64_t *)field = CONFIG_RATE_NONE;
		return;
	}
	if (!ok || parse_number(o->type, n->text, &v) < 0 || !in_range(o, v))
		config_report_wrong(c, o, n, NULL);
	else
		*(uint64_t *)field = v;
}

static void
read_enum(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	int i = config_node_is_value(n) ? choice_index(o->choices, n->text) : -EINVAL;

	if (i < 0)
		config_report_wrong(c, o, n, NULL);
	else
		*(int *)field = i;
}

/* "fri-mon": from one choice to another, perhaps past the last. */
static unsigned
range_flags(const char *const *choices, const char *s)
{
	const char *dash = strchr(s, '-');
	unsigned flags = 0;
	char first[32];
	int i, last;

	if (dash == NULL || (size_t)(dash - s) >= sizeof(first))
		return 0;
	(void)snprintf(first, sizeof(first), "%.*s", (int)(dash - s), s);
	i = choice_index(choices, first);
	last = choice_index(choices, dash + 1);
	if (i < 0 || last < 0)
		return 0;
	for (; i != last; i = choices[i + 1] != NULL ? i + 1 : 0)
		flags |= 1u << i;
	return flags | 1u << last;
}

/* 0: none that is known. */
static unsigned
parse_flags(const struct config_option *o, const struct node *n)
{
	int i;

	if (!config_node_is_value(n))
		return 0;
	i = choice_index(o->choices, n->text);
	if (i >= 0)
		return 1u << i;
	return o->ranges ? range_flags(o->choices, n->text) : 0;
}

static void
read_flags(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	const struct node *item = n->type == NODE_LIST ? n->first : n;
	unsigned flags = 0, some;

	for (; item != NULL; item = item->next) {
		some = parse_flags(o, item);
		if (some == 0)
			config_report_wrong(c, o, item, NULL);
		flags |= some;
		if (item == n)
			break;
	}
	*(unsigned *)field = flags;
}

static void
read_strings(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	const struct node *item = n->type == NODE_LIST ? n->first : n;
	struct config_strings list = { 0 };
	size_t n_max = n->type == NODE_LIST ? n->n : 1;

	list.v = config_arena_zalloc(c->keep, n_max * sizeof(*list.v));
	for (; list.n < n_max; item = item->next) {
		const char *s = config_node_is_value(item) ? item->text : "";

		if (!config_node_is_value(item))
			config_report_wrong(c, o, item, NULL);
		list.v[list.n++] =
		    config_arena_strndup(c->keep, s, strlen(s));
	}
	*(struct config_strings *)field = list;
}

static reader *const readers[] = {
	[CONFIG_STRING] = read_text,
	[CONFIG_TITLE] = read_text,
	[CONFIG_NAME] = read_text,
	[CONFIG_FILE] = read_path,
	[CONFIG_DIR] = read_path,
	[CONFIG_PATH] = read_path,
	[CONFIG_URL] = read_url,
	[CONFIG_BOOL] = read_bool,
	[CONFIG_UINT] = read_number,
	[CONFIG_SIZE] = read_number,
	[CONFIG_DURATION] = read_number,
	[CONFIG_RATE] = read_number,
	[CONFIG_CLOCK] = read_number,
	[CONFIG_ENUM] = read_enum,
	[CONFIG_FLAGS] = read_flags,
	[CONFIG_STRINGS] = read_strings,
};

void
config_read_value(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	assert((size_t)o->type < ARRAY_LEN(readers));
	readers[o->type](c, o, n, field);
}
