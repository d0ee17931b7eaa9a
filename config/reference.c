/* reference.c - the tables as Markdown: every option with its type, its default
 * and its help, so that the documentation cannot differ from the program.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "config/config_int.h"

#define CELL_BYTES 1024
#define PATH_BYTES 256

static void add_tables(struct buf *b, const struct config_option *options,
    const char *path);

/* A bar would end the cell. */
static void
add_cell(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '|')
			(void)buf_add_char(b, '\\');
		(void)buf_add_char(b, *s);
	}
}

static void
add_default(struct buf *b, const struct config_option *o)
{
	if (o->required)
		(void)buf_add_str(b, "**must be written**");
	else if (o->fallback != NULL)
		(void)buf_printf(b, "`%s`", o->fallback);
	else if (o->type == CONFIG_BOOL)
		(void)buf_add_str(b, "`false`");
	else if (o->type == CONFIG_ENUM)
		(void)buf_printf(b, "`%s`", o->choices[0]);
	else
		(void)buf_add_char(b, '-');
}

static void
add_row(struct buf *b, const struct config_option *o)
{
	struct buf want = BUF_INIT(CELL_BYTES);

	config_describe_wanted(o, &want);
	(void)buf_printf(b, "| `%s` | ", o->name);
	add_cell(b, want.data != NULL ? want.data : "");
	(void)buf_add_str(b, " | ");
	add_default(b, o);
	(void)buf_add_str(b, " | ");
	add_cell(b, o->help != NULL ? o->help : "");
	if (o->restart)
		(void)buf_add_str(b, "; a change wants a restart");
	(void)buf_add_str(b, " |\n");
	buf_free(&want);
}

static void
add_table(struct buf *b, const struct config_option *options)
{
	const struct config_option *o;

	if (options->name == NULL)
		return;
	(void)buf_add_str(b, "\n| Option | Wanted | Default | Meaning |\n"
	    "|---|---|---|---|\n");
	for (o = options; o->name != NULL; o++)
		add_row(b, o);
}

static void
add_kinds(struct buf *b, const struct config_kind *const *kind,
    const char *path)
{
	for (; *kind != NULL; kind++) {
		(void)buf_printf(b, "\n## %s, `type: %s`\n", path,
		    (*kind)->name);
		add_table(b, (*kind)->section.options);
		add_tables(b, (*kind)->section.options, path);
	}
}

/* The sections inside a table, each with a heading of its own. Credentials are
 * the same everywhere and come once, at the end. */
static void
add_tables(struct buf *b, const struct config_option *options,
    const char *path)
{
	const struct config_option *o;
	char inner[PATH_BYTES];

	for (o = options; o->name != NULL; o++) {
		(void)snprintf(inner, sizeof(inner), "%s%s%s%s", path,
		    path[0] != '\0' ? "." : "", o->name,
		    o->type == CONFIG_LIST ? "[]" : "");
		if (o->section != NULL) {
			(void)buf_printf(b, "\n## %s\n", inner);
			add_table(b, o->section->options);
			add_tables(b, o->section->options, inner);
		} else if (o->type == CONFIG_KIND &&
		    o->kinds != config_credential_kinds) {
			add_kinds(b, o->kinds(), path);
		}
	}
}

int
config_reference(struct buf *b)
{
	(void)buf_add_str(b, "# Configuration\n\n"
	    "The file is YAML. Unknown options, wrong types and impossible "
	    "combinations are errors;\n`causewayd -t` reports all of them, each "
	    "with its line. Sizes take B, KiB, MiB, GiB and\nTiB, times ms, s, "
	    "min, h and d, rates kbit, Mbit and Gbit (per second, by\n"
	    "thousands). Relative paths begin at the folder of the file.\n"
	    "Secrets never stand in it: options that end in `_file` name the "
	    "files that hold them.\n");
	add_table(b, config_root_section.options);
	add_tables(b, config_root_section.options, "");
	add_kinds(b, config_credential_kinds(), "credential");
	return buf_error(b);
}
