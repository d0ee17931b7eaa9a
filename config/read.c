/* read.c - a tree of nodes into structs, by the option tables.
 *
 * Reading goes on after a problem, so that all of them are reported at once; a
 * list keeps an item for every one in the file, so that items and nodes can be
 * matched by their index afterwards.
 */
#include <assert.h>
#include <string.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"

#define DESCRIPTION_BYTES 1024

/* Sections hold options that hold sections. */
static void read_fields(struct config_check *c, const struct node *n,
    const struct config_section *s, void *base);

static void
read_child(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	void *section;

	if (n->type != NODE_SECTION && !(o->always && n->type == NODE_NOTHING)) {
		config_report_wrong(c, o, n, NULL);
		if (!o->always)
			return;
	}
	section = config_arena_zalloc(c->keep, o->section->size);
	config_read_section(c, n, o->section, section);
	*(void **)field = section;
}

static void
report_wrong_item(struct config_check *c, const struct config_option *o,
    const struct node *n)
{
	struct buf found = BUF_INIT(DESCRIPTION_BYTES);

	config_describe_found(n, &found);
	config_node_problem(c, n, "found %s; wanted a section of options, such "
	    "as `{%s: ...}`", found.data, o->section->options[0].name);
	buf_free(&found);
}

/* `peers:` whose lines are all commented out is an empty list. */
static void
read_list(struct config_check *c, const struct config_option *o,
    const struct node *n, void *field)
{
	struct config_list list = { 0 };
	const struct node *item;

	if (n->type != NODE_LIST && n->type != NODE_NOTHING) {
		config_report_wrong(c, o, n, NULL);
		return;
	}
	list.v = config_arena_zalloc(c->keep, n->n * sizeof(*list.v));
	for (item = n->first; item != NULL; item = item->next) {
		list.v[list.n] = config_arena_zalloc(c->keep, o->section->size);
		if (item->type == NODE_SECTION)
			config_read_section(c, item, o->section,
			    list.v[list.n]);
		else
			report_wrong_item(c, o, item);
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
		config_report_wrong(c, o, type, NULL);
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
		if (config_node_is_value(type) && strcmp((*kind)->name, type->text) == 0)
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
		config_report_wrong(c, o, n, NULL);
	else
		read_fields(c, n, &section, field);
}

static void
read_option(struct config_check *c, const struct config_option *o,
    const struct node *n, void *base)
{
	void *field = (char *)base + o->offset;

	switch (o->type) {
	case CONFIG_SECTION:
		read_child(c, o, n, field);
		return;
	case CONFIG_LIST:
		read_list(c, o, n, field);
		return;
	case CONFIG_KIND:
		read_choice(c, o, n, field);
		return;
	default:
		config_read_value(c, o, n, field);
	}
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

	/* Text that would be something else is in quotes there, too. */
	if (o->fallback[0] != '\0' && strchr("[{\"", o->fallback[0]) != NULL) {
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
