/* document.c - YAML text as a tree of nodes that know their lines.
 *
 * A configuration is plain: one document, no anchors, aliases or tags, printable
 * UTF-8 on one line per value, everything bounded. What goes beyond is refused in
 * words. libyaml's events are taken one by one, because its document loader
 * resolves aliases and forgets keys that are written twice.
 */
#include <errno.h>
#include <string.h>

#include <yaml.h>

#include "config/config_int.h"

struct builder {
	struct config_check *c;
	const char *source;
	size_t source_len;
	unsigned first_line;
	yaml_parser_t yaml;
	struct node *root;
	struct node *open[CONFIG_DEPTH_MAX + 1];	/* [depth]: the innermost
							 * list or section */
	const char *key;	/* read, its value not yet */
	unsigned key_line;
	unsigned depth, nodes, documents;
};

static struct node *
append_node(struct config_check *c, struct node *parent, enum node_type type)
{
	struct node *n = config_arena_zalloc(&c->scratch, sizeof(*n));

	n->type = type;
	n->parent = parent;
	if (parent == NULL)
		return n;
	if (parent->last == NULL)
		parent->first = n;
	else
		parent->last->next = n;
	parent->last = n;
	parent->n++;
	return n;
}

static struct node *
innermost(const struct builder *b)
{
	return b->open[b->depth];
}

static bool
inside_section(const struct builder *b)
{
	return b->depth > 0 && innermost(b)->type == NODE_SECTION;
}

static unsigned
event_line(const struct builder *b, const yaml_event_t *event)
{
	return b->first_line + (unsigned)event->start_mark.line;
}

static int
check_limits(struct builder *b, unsigned line)
{
	const struct node *open = innermost(b);

	if (b->nodes >= CONFIG_NODES_MAX)
		config_line_problem(b->c, line, "more than %d values",
		    CONFIG_NODES_MAX);
	else if (open != NULL && open->type == NODE_LIST &&
	    open->n >= CONFIG_ITEMS_MAX)
		config_line_problem(b->c, line, "more than %d in one list",
		    CONFIG_ITEMS_MAX);
	else if (open != NULL && open->type == NODE_SECTION &&
	    open->n >= CONFIG_KEYS_MAX)
		config_line_problem(b->c, line,
		    "more than %d options in one section", CONFIG_KEYS_MAX);
	else
		return 0;
	return -EINVAL;
}

static void
name_node(struct builder *b, struct node *n)
{
	const struct node *first = config_node_get(n->parent, b->key);

	n->key = b->key;
	n->line = b->key_line;
	b->key = NULL;
	if (first == NULL)
		return;
	n->repeated = true;
	config_node_problem(b->c, n, "is written twice; first in line %u",
	    first->line);
}

static int
begin_node(struct builder *b, const yaml_event_t *event, enum node_type type,
    struct node **ret)
{
	unsigned line = event_line(b, event);
	bool wants_key = inside_section(b);
	struct node *n;
	int r;

	if (wants_key && b->key == NULL) {
		config_line_problem(b->c, line,
		    "the name of an option cannot be a list or a section");
		return -EINVAL;
	}
	r = check_limits(b, line);
	if (r < 0)
		return r;
	n = append_node(b->c, innermost(b), type);
	n->line = line;
	b->nodes++;
	if (b->depth == 0)
		b->root = n;
	if (wants_key)
		name_node(b, n);
	*ret = n;
	return 0;
}

static int
open_node(struct builder *b, const yaml_event_t *event, enum node_type type)
{
	struct node *n;
	int r;

	if (b->depth == CONFIG_DEPTH_MAX) {
		config_line_problem(b->c, event_line(b, event),
		    "nested more than %d deep", CONFIG_DEPTH_MAX);
		return -EINVAL;
	}
	r = begin_node(b, event, type, &n);
	if (r < 0)
		return r;
	b->open[++b->depth] = n;
	return 0;
}

static bool
is_nothing(const yaml_event_t *event)
{
	const char *s = (const char *)event->data.scalar.value;

	return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (s[0] == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
}

/* "" stands in for what is refused, so that the rest can still be read. */
static const char *
take_text(struct builder *b, const yaml_event_t *event)
{
	const char *s = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	unsigned line = event_line(b, event);

	if (len > CONFIG_TEXT_MAX) {
		config_line_problem(b->c, line,
		    "a text of %zu bytes; at most %d are read", len,
		    CONFIG_TEXT_MAX);
		len = 0;
	} else if (!config_text_ok(s, len)) {
		config_line_problem(b->c, line, "a text with a line break or a "
		    "character that cannot be printed");
		len = 0;
	}
	return config_arena_strndup(&b->c->scratch, s, len);
}

static int
add_scalar(struct builder *b, const yaml_event_t *event)
{
	struct node *n;
	int r;

	if (inside_section(b) && b->key == NULL) {
		b->key = take_text(b, event);
		b->key_line = event_line(b, event);
		return 0;
	}
	r = begin_node(b, event,
	    is_nothing(event) ? NODE_NOTHING : NODE_TEXT, &n);
	if (r < 0)
		return r;
	n->text = take_text(b, event);
	n->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return 0;
}

static void
refuse_reference(struct builder *b, const yaml_event_t *event, const char *what)
{
	config_line_problem(b->c, event_line(b, event), "%s is not used here; "
	    "write the value out, in quotes if it begins with *, & or !", what);
}

static void
refuse_decoration(struct builder *b, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	}
	if (anchor != NULL)
		refuse_reference(b, event, "an anchor (&)");
	if (tag != NULL)
		refuse_reference(b, event, "a tag (!)");
}

/* An alias where a name should be would turn the section upside down. */
static int
add_alias(struct builder *b, const yaml_event_t *event)
{
	struct node *n;

	refuse_reference(b, event, "an alias (*)");
	return begin_node(b, event, NODE_NOTHING, &n);
}

static int
begin_document(struct builder *b, const yaml_event_t *event)
{
	if (b->documents++ == 0)
		return 0;
	config_line_problem(b->c, event_line(b, event),
	    "a second document begins here (---); only one is read");
	return -EINVAL;
}

static int
take_event(struct builder *b, const yaml_event_t *event)
{
	refuse_decoration(b, event);
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return begin_document(b, event);
	case YAML_SCALAR_EVENT:
		return add_scalar(b, event);
	case YAML_ALIAS_EVENT:
		return add_alias(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return open_node(b, event, NODE_LIST);
	case YAML_MAPPING_START_EVENT:
		return open_node(b, event, NODE_SECTION);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	default:
		return 0;
	}
}

static size_t
count_lines(const char *text, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

/* The reader stops before there are lines, so its errors carry an offset. */
static unsigned
error_line(const struct builder *b)
{
	size_t offset = b->yaml.problem_offset;

	if (b->yaml.error != YAML_READER_ERROR)
		return b->first_line + (unsigned)b->yaml.problem_mark.line;
	if (offset > b->source_len)
		offset = b->source_len;
	return b->first_line + (unsigned)count_lines(b->source, offset);
}

static bool
tab_indents(const struct builder *b, unsigned line)
{
	const char *s = b->source, *end = b->source + b->source_len;

	for (; line > b->first_line; line--) {
		s = memchr(s, '\n', (size_t)(end - s));
		if (s == NULL)
			return false;
		s++;
	}
	while (s < end && *s == ' ')
		s++;
	return s < end && *s == '\t';
}

static void
report_syntax(const struct builder *b)
{
	const yaml_parser_t *y = &b->yaml;
	unsigned line = error_line(b);
	const char *problem = y->problem != NULL ? y->problem : "out of memory";

	if (tab_indents(b, line))
		config_line_problem(b->c, line,
		    "not YAML: indented by a tab; use spaces");
	else if (y->error == YAML_READER_ERROR)
		config_line_problem(b->c, line, "not UTF-8 text: %s", problem);
	else if (y->context != NULL && strstr(y->context, "alias") != NULL)
		config_line_problem(b->c, line, "not YAML: text that begins "
		    "with * must be in quotes");
	else if (y->context != NULL)
		config_line_problem(b->c, line, "not YAML: %s (%s from line %u)",
		    problem, y->context,
		    b->first_line + (unsigned)y->context_mark.line);
	else
		config_line_problem(b->c, line, "not YAML: %s", problem);
}

static int
build_tree(struct builder *b)
{
	yaml_event_t event;
	bool last;
	int r;

	do {
		if (!yaml_parser_parse(&b->yaml, &event)) {
			report_syntax(b);
			return -EINVAL;
		}
		last = event.type == YAML_STREAM_END_EVENT;
		r = take_event(b, &event);
		yaml_event_delete(&event);
		if (r < 0)
			return r;
	} while (!last);
	return 0;
}

struct node *
config_document(struct config_check *c, const char *text, size_t len,
    unsigned first_line)
{
	struct builder b = { .c = c, .first_line = first_line };
	int r;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;	/* what some editors put in front of UTF-8 */
		len -= 3;
	}
	b.source = text;
	b.source_len = len;
	if (!yaml_parser_initialize(&b.yaml)) {
		config_line_problem(c, first_line, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&b.yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.yaml, (const unsigned char *)text, len);
	r = build_tree(&b);
	yaml_parser_delete(&b.yaml);
	if (r < 0)
		return NULL;
	if (b.root == NULL || b.root->type == NODE_NOTHING) {
		config_line_problem(c, first_line, "the file says nothing; it "
		    "needs at least one option, such as `access: listed`");
		return NULL;
	}
	return b.root;
}

struct node *
config_node_new(struct config_check *c, const struct node *section,
    const char *key, enum node_type type)
{
	struct node *n = config_arena_zalloc(&c->scratch, sizeof(*n));

	n->parent = section;
	n->key = key;
	n->type = type;
	n->line = section->line;
	return n;
}

const struct node *
config_node_get(const struct node *section, const char *key)
{
	const struct node *n;

	if (section->type != NODE_SECTION)
		return NULL;
	for (n = section->first; n != NULL; n = n->next)
		if (n->key != NULL && !n->repeated && strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

const struct node *
config_node_item(const struct node *list, size_t i)
{
	const struct node *n;

	if (list == NULL || list->type != NODE_LIST)
		return NULL;
	for (n = list->first; n != NULL && i > 0; n = n->next)
		i--;
	return n;
}

bool
config_node_is_value(const struct node *n)
{
	return n->type == NODE_TEXT && n->text[0] != '\0';
}
