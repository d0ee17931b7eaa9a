/* print.c - what is in effect, as YAML that says the same when it is read again.
 *
 * Only what stands for "left out" is left out, so two snapshots are alike when
 * their texts are.
 */
#include <assert.h>
#include <string.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"

struct printer {
	struct buf *b;
	size_t start;		/* of our text in b */
	unsigned indent;
	bool dash;		/* the next line begins an item */
};

static void print_options(struct printer *p, const struct config_section *s,
    const void *base);

/* Lines end where the next begins, so that an empty section can still become
 * `{}`. */
static void
begin_line(struct printer *p, const char *name)
{
	unsigned depth = p->dash ? p->indent - 1 : p->indent;

	if (p->b->len > p->start)
		(void)buf_add_char(p->b, '\n');
	(void)buf_printf(p->b, "%*s%s%s:", (int)(depth * 2), "",
	    p->dash ? "- " : "", name);
	p->dash = false;
}

static bool
is_plain_text(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t n = strspn(s, letters);

	if (n == 0 && s[0] != '/')
		return false;
	while (s[n] != '\0' && (strchr(letters, s[n]) != NULL ||
	    strchr("/._-", s[n]) != NULL ||
	    (s[n] == ':' && s[n + 1] == '/')))
		n++;
	return s[n] == '\0' && strcmp(s, "null") != 0;
}

static void
print_text(struct printer *p, const char *s)
{
	if (is_plain_text(s)) {
		(void)buf_add_str(p->b, s);
		return;
	}
	(void)buf_add_char(p->b, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			(void)buf_add_char(p->b, '\\');
		(void)buf_add_char(p->b, *s);
	}
	(void)buf_add_char(p->b, '"');
}

static void
print_string(struct printer *p, const struct config_option *o, const char *s)
{
	if (s == NULL)
		return;
	begin_line(p, o->name);
	(void)buf_add_char(p->b, ' ');
	print_text(p, s);
}

/* Without a default of its own, 0 is what nobody wrote. */
static void
print_number(struct printer *p, const struct config_option *o, uint64_t v)
{
	if (v == 0 && o->fallback == NULL)
		return;
	begin_line(p, o->name);
	(void)buf_add_char(p->b, ' ');
	if (o->type == CONFIG_CLOCK)
		(void)buf_add_char(p->b, '"');
	config_number_print(p->b, o->type, v);
	if (o->type == CONFIG_CLOCK)
		(void)buf_add_char(p->b, '"');
}

static void
print_flags(struct printer *p, const struct config_option *o, unsigned flags)
{
	const char *between = "";
	size_t i;

	begin_line(p, o->name);
	(void)buf_add_str(p->b, " [");
	for (i = 0; o->choices[i] != NULL; i++) {
		if (!(flags & 1u << i))
			continue;
		(void)buf_printf(p->b, "%s%s", between, o->choices[i]);
		between = ", ";
	}
	(void)buf_add_char(p->b, ']');
}

static void
print_strings(struct printer *p, const struct config_option *o,
    const struct config_strings *list)
{
	size_t i;

	if (list->n == 0 && o->fallback == NULL)
		return;
	begin_line(p, o->name);
	(void)buf_add_str(p->b, " [");
	for (i = 0; i < list->n; i++) {
		if (i > 0)
			(void)buf_add_str(p->b, ", ");
		print_text(p, list->v[i]);
	}
	(void)buf_add_char(p->b, ']');
}

static void
print_section(struct printer *p, const struct config_option *o,
    const void *section)
{
	size_t before;

	if (section == NULL)
		return;
	begin_line(p, o->name);
	before = p->b->len;
	p->indent++;
	print_options(p, o->section, section);
	p->indent--;
	if (p->b->len == before)
		(void)buf_add_str(p->b, " {}");
}

static void
print_list(struct printer *p, const struct config_option *o,
    const struct config_list *list)
{
	size_t i;

	begin_line(p, o->name);
	if (list->n == 0)
		(void)buf_add_str(p->b, " []");
	p->indent += 2;
	for (i = 0; i < list->n; i++) {
		p->dash = true;
		print_options(p, o->section, list->v[i]);
		if (p->dash)
			(void)buf_printf(p->b, "\n%*s- {}",
			    (int)(p->indent - 1) * 2, "");
		p->dash = false;
	}
	p->indent -= 2;
}

static void
print_kind(struct printer *p, const struct config_option *o,
    const struct config_choice *choice)
{
	bool inside = strcmp(o->name, "type") == 0;

	if (choice->kind == NULL)
		return;
	if (!inside) {
		begin_line(p, o->name);
		p->indent++;
	}
	begin_line(p, "type");
	(void)buf_printf(p->b, " %s", choice->kind->name);
	print_options(p, &choice->kind->section, choice->options);
	if (!inside)
		p->indent--;
}

static void
print_option(struct printer *p, const struct config_option *o, const void *base)
{
	const void *field = (const char *)base + o->offset;

	switch (o->type) {
	case CONFIG_STRING:
	case CONFIG_TITLE:
	case CONFIG_NAME:
	case CONFIG_FILE:
	case CONFIG_DIR:
	case CONFIG_PATH:
	case CONFIG_URL:
		print_string(p, o, *(char *const *)field);
		return;
	case CONFIG_BOOL:
		begin_line(p, o->name);
		(void)buf_add_str(p->b,
		    *(const bool *)field ? " true" : " false");
		return;
	case CONFIG_UINT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_RATE:
	case CONFIG_CLOCK:
		print_number(p, o, *(const uint64_t *)field);
		return;
	case CONFIG_ENUM:
		print_string(p, o, o->choices[*(const int *)field]);
		return;
	case CONFIG_FLAGS:
		print_flags(p, o, *(const unsigned *)field);
		return;
	case CONFIG_STRINGS:
		print_strings(p, o, field);
		return;
	case CONFIG_SECTION:
		print_section(p, o, *(void *const *)field);
		return;
	case CONFIG_LIST:
		print_list(p, o, field);
		return;
	case CONFIG_KIND:
		print_kind(p, o, field);
		return;
	}
	assert(!"an option without a type");
}

static void
print_options(struct printer *p, const struct config_section *s,
    const void *base)
{
	const struct config_option *o;

	for (o = s->options; o->name != NULL; o++)
		if (!config_option_again(s->options, o))
			print_option(p, o, base);
}

int
config_print_option(const struct config_option *o, const void *base,
    struct buf *b)
{
	struct printer p = { .b = b, .start = b->len };

	print_option(&p, o, base);
	return buf_error(b);
}

/* `unrouted: hold` means more when it is written, see struct config. */
static bool
is_unwritten(const struct config_option *o, const struct config *c)
{
	return o->offset == offsetof(struct config, unrouted) &&
	    !c->unrouted_written;
}

int
config_print(const struct config *c, struct buf *b)
{
	struct printer p = { .b = b, .start = b->len };
	const struct config_option *o;

	for (o = config_root_section.options; o->name != NULL; o++)
		if (!is_unwritten(o, c))
			print_option(&p, o, c);
	return buf_add_char(b, '\n');
}

int
config_print_destination(const struct config_destination *d, struct buf *b)
{
	struct printer p = { .b = b, .start = b->len };
	const struct config_option *o = config_root_section.options;

	while (strcmp(o->name, "destinations") != 0)
		o++;
	print_options(&p, o->section, d);
	return buf_add_char(b, '\n');
}
