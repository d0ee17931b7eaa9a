/* read.c - a tree of nodes into structs, by the option tables.
 *
 * Reading goes on after a problem, so that all of them are reported at once; a
 * list keeps an item for every one in the file, so that items and nodes can be
 * matched by their index afterwards.
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

/* Sections hold options that hold sections. */
static void read_fields(struct config_check *c, const struct node *n,
    const struct config_section *s, void *base);
static void read_option(struct config_check *c, const struct config_option *o,
    const struct node *n, void *base);

static void
report_wrong(struct config_check *c, const struct config_option *o,
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
is_value(const struct node *n)
{
	return n->type == NODE_TEXT && n->text[0] != '\0';
}

static bool
is_plain(const struct node *n)
{
	return is_value(n) && !n->quoted;
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
	bool ok = is_value(n);

	if (ok && o->type == CONFIG_TITLE)
		ok = config_title_ok(n->text) ||
		    choice_index(o->choices, n->text) >= 0;
	else if (ok && o->type == CONFIG_NAME)
		ok = config_name_ok(n->text);
	if (ok)
		*(char **)field = keep_text(c, n->text);
	else
		report_wrong(c, o, n, NULL);
}

static void
read_url(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	const char *why = NULL;
	size_t len;

	if (is_value(n))
		why = config_url_wrong(n->text);
	if (!is_value(n) || why != NULL) {
		report_wrong(c, o, n, why);
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

	if (!is_value(n)) {
		report_wrong(c, o, n, NULL);
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
		report_wrong(c, o, n, NULL);
	else
		*(bool *)field = i == 1;
}

static void
read_number(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	uint64_t v;
	int r;

	if (!is_plain(n))
		r = -EINVAL;
	else if (o->type == CONFIG_SIZE)
		r = config_size_parse(n->text, &v);
	else if (o->type == CONFIG_DURATION)
		r = config_duration_parse(n->text, &v);
	else
		r = config_uint_parse(n->text, &v);
	if (r < 0 || v < o->min || (o->max > 0 && v > o->max))
		report_wrong(c, o, n, NULL);
	else
		*(uint64_t *)field = v;
}

static void
read_enum(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	int i = is_value(n) ? choice_index(o->choices, n->text) : -EINVAL;

	if (i < 0)
		report_wrong(c, o, n, NULL);
	else
		*(int *)field = i;
}

static void
read_flags(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	const struct node *item = n->type == NODE_LIST ? n->first : n;
	unsigned flags = 0;
	int i;

	for (; item != NULL; item = item->next) {
		i = is_value(item) ? choice_index(o->choices, item->text) :
				     -EINVAL;
		if (i < 0)
			report_wrong(c, o, item, NULL);
		else
			flags |= 1u << i;
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
		const char *s = is_value(item) ? item->text : "";

		if (!is_value(item))
			report_wrong(c, o, item, NULL);
		list.v[list.n++] =
		    config_arena_strndup(c->keep, s, strlen(s));
	}
	*(struct config_strings *)field = list;
}

static void
read_child(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	void *section;

	if (n->type != NODE_SECTION && !(o->always && n->type == NODE_NOTHING)) {
		report_wrong(c, o, n, NULL);
		if (!o->always)
			return;
	}
	section = config_arena_zalloc(c->keep, o->section->size);
	config_read_section(c, n, o->section, section);
	*(void **)field = section;
}

/* `peers:` whose lines are all commented out is an empty list. */
static void
read_list(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	struct config_list list = { 0 };
	const struct node *item;

	if (n->type != NODE_LIST && n->type != NODE_NOTHING) {
		report_wrong(c, o, n, NULL);
		return;
	}
	list.v = config_arena_zalloc(c->keep, n->n * sizeof(*list.v));
	for (item = n->first; item != NULL; item = item->next) {
		list.v[list.n] = config_arena_zalloc(c->keep, o->section->size);
		if (item->type == NODE_SECTION)
			config_read_section(c, item, o->section,
			    list.v[list.n]);
		else
			report_wrong(c, o, item, NULL);
		list.n++;
	}
	*(struct config_list *)field = list;
}

static void
report_unknown_kind(struct config_check *c, const struct config_option *o,
    const struct node *type)
{
	const struct config_kind *const *kinds = o->kinds();
	const char *names[64], *near;
	size_t n;

	for (n = 0; n < ARRAY_LEN(names) && kinds[n] != NULL; n++)
		names[n] = kinds[n]->name;
	near = type->type == NODE_TEXT ? config_suggest(type->text, names, n) :
					 NULL;
	if (near != NULL)
		config_node_problem(c, type,
		    "unknown type `%s`; did you mean `%s`?", type->text, near);
	else
		report_wrong(c, o, type, NULL);
}

static void
select_kind(struct config_check *c, const struct config_option *o,
    const struct node *n, struct config_choice *ret)
{
	const struct node *type = config_node_get(n, "type");
	const struct config_kind *const *kind;

	if (type == NULL)
		return;
	for (kind = o->kinds(); *kind != NULL; kind++)
		if (is_value(type) && strcmp((*kind)->name, type->text) == 0)
			break;
	if (*kind == NULL) {
		report_unknown_kind(c, o, type);
		return;
	}
	ret->kind = *kind;
	ret->options = config_arena_zalloc(c->keep, (*kind)->section.size);
	*(unsigned *)ret->options = n->line;
}

/* `credential: {type: basic, ...}`: a section of nothing but its type and what
 * the type brings. */
static void
read_choice(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	const struct config_option options[2] = {
		{ .name = "type", .type = CONFIG_KIND, .required = true,
		    .kinds = o->kinds, .help = o->help },
	};
	const struct config_section section = { .name = o->name,
		.size = sizeof(struct config_choice), .options = options };

	if (n->type != NODE_SECTION)
		report_wrong(c, o, n, NULL);
	else
		read_fields(c, n, &section, field);
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
	[CONFIG_ENUM] = read_enum,
	[CONFIG_FLAGS] = read_flags,
	[CONFIG_STRINGS] = read_strings,
	[CONFIG_SECTION] = read_child,
	[CONFIG_LIST] = read_list,
	[CONFIG_KIND] = read_choice,
};

static void
read_option(struct config_check *c, const struct config_option *o,
    const struct node *n, void *base)
{
	assert((size_t)o->type < ARRAY_LEN(readers));
	readers[o->type](c, o, n, (char *)base + o->offset);
}

static const struct config_option *
find_option(const struct config_option *o, const char *name)
{
	for (; o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static size_t
collect_names(const struct config_option *o, const char **names, size_t n,
    size_t max)
{
	for (; o->name != NULL && n < max; o++)
		names[n++] = o->name;
	return n;
}

static void
report_unknown(struct config_check *c, const struct node *n,
    const struct config_section *s, const struct config_choice *choice)
{
	const char *names[128], *near;
	size_t known;

	known = collect_names(s->options, names, 0, ARRAY_LEN(names));
	if (choice != NULL)
		known = collect_names(choice->kind->section.options, names,
		    known, ARRAY_LEN(names));
	near = config_suggest(n->key, names, known);
	if (near != NULL)
		config_node_problem(c, n,
		    "unknown option `%.64s`; did you mean `%s`?", n->key, near);
	else
		config_node_problem(c, n, "unknown option `%.64s`", n->key);
}

static void
check_spelling(struct config_check *c, const struct node *n,
    const struct config_option *options, const struct config_option *o)
{
	const struct config_option *other;

	if (!config_option_again(options, o))
		return;
	for (other = options; other != o; other++)
		if (other->offset == o->offset &&
		    config_node_get(n->parent, other->name) != NULL)
			config_node_problem(c, n,
			    "says the same as `%s`; write one of them",
			    other->name);
}

/* One written option, of the section or of the kind that its type names. */
static void
read_written(struct config_check *c, const struct node *n,
    const struct config_section *s, void *base,
    const struct config_choice *choice)
{
	const struct config_option *o = find_option(s->options, n->key);

	if (o != NULL && o == config_kind_option(s))
		return;
	if (o != NULL) {
		check_spelling(c, n, s->options, o);
		read_option(c, o, n, base);
		return;
	}
	if (choice != NULL && choice->kind == NULL)
		return;	/* unknown type: nobody knows its options */
	if (choice != NULL)
		o = find_option(choice->kind->section.options, n->key);
	if (o != NULL)
		read_option(c, o, n, choice->options);
	else
		report_unknown(c, n, s, choice);
}

static bool
is_written(const struct node *n, const struct config_option *options,
    size_t offset)
{
	const struct config_option *o;

	for (o = options; o->name != NULL; o++)
		if (o->offset == offset && config_node_get(n, o->name) != NULL)
			return true;
	return false;
}

static const struct node *
fallback_node(struct config_check *c, const struct config_option *o,
    const struct node *parent)
{
	struct node *n;

	if (o->fallback[0] == '[' || o->fallback[0] == '{') {
		n = config_document(c, o->fallback, strlen(o->fallback),
		    parent->line);
		assert(n != NULL);
		n->parent = parent;
		n->key = o->name;
	} else {
		n = config_node_new(c, parent, o->name, NODE_TEXT);
		n->text = o->fallback;
	}
	return n;
}

static void
read_absent(struct config_check *c, const struct node *n,
    const struct config_option *o, void *base)
{
	struct buf want = BUF_INIT(DESCRIPTION_BYTES);
	struct node *absent = config_node_new(c, n, o->name, NODE_SECTION);

	if (o->required) {
		config_describe_wanted(o, &want);
		config_node_problem(c, absent, "is missing; wanted %s",
		    want.data);
	} else if (o->fallback != NULL) {
		read_option(c, o, fallback_node(c, o, n), base);
	} else if (o->type == CONFIG_SECTION && o->always) {
		read_option(c, o, absent, base);
	}
	buf_free(&want);
}

static void
fill_absent(struct config_check *c, const struct node *n,
    const struct config_option *options, void *base)
{
	const struct config_option *o;

	for (o = options; o->name != NULL; o++)
		if (!is_written(n, options, o->offset))
			read_absent(c, n, o, base);
}

static void
run_check(struct config_check *c, const struct node *n,
    const struct config_section *s, const void *base, size_t problems_before)
{
	const struct node *outer = c->at;

	if (s->check == NULL || c->n != problems_before)
		return;
	c->at = n;
	s->check(c, base);
	c->at = outer;
}

static void
read_fields(struct config_check *c, const struct node *n,
    const struct config_section *s, void *base)
{
	const struct config_option *kind = config_kind_option(s);
	struct config_choice *choice = NULL;
	size_t before = c->n;
	const struct node *item;

	if (kind != NULL) {
		choice = (void *)((char *)base + kind->offset);
		select_kind(c, kind, n, choice);
	}
	for (item = n->first; item != NULL; item = item->next)
		if (!item->repeated)
			read_written(c, item, s, base, choice);
	fill_absent(c, n, s->options, base);
	if (choice != NULL && choice->kind != NULL) {
		fill_absent(c, n, choice->kind->section.options,
		    choice->options);
		run_check(c, n, &choice->kind->section, choice->options,
		    before);
	}
	run_check(c, n, s, base, before);
}

void
config_read_section(struct config_check *c, const struct node *n,
    const struct config_section *s, void *base)
{
	*(unsigned *)base = n->line;
	if (n->type != NODE_SECTION)	/* nothing, or wrong: all defaults */
		n = config_node_new(c, n->parent, n->key, NODE_SECTION);
	read_fields(c, n, s, base);
}
