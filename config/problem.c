/* problem.c - everything that is wrong with a file, gathered and in the order of
 * its lines, each as `file:line: option: what and what would be right`.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"

#define PATH_BYTES 512

static void __attribute__((format(printf, 4, 0)))
add_problem(struct config_check *c, unsigned line, const char *option,
    const char *fmt, va_list ap)
{
	struct buf text = BUF_INIT(8 * CONFIG_TEXT_MAX);

	if (c->n++ >= CONFIG_SHOWN_MAX)
		return;
	(void)buf_printf(&text, "%s:%u: ", c->file, line);
	if (option[0] != '\0')
		(void)buf_printf(&text, "%s: ", option);
	(void)buf_vprintf(&text, fmt, ap);
	c->problems = xreallocarray(c->problems, c->n, sizeof(*c->problems));
	c->problems[c->n - 1].line = line;
	c->problems[c->n - 1].text =
	    config_arena_strndup(&c->scratch, text.data, text.len);
	buf_free(&text);
}

/* "peers[].tls.subject"; a path that is too long loses its end. Recursion ends
 * with the depth of documents. */
static size_t
write_path(const struct node *n, char *path, size_t at)
{
	int len;

	if (n == NULL || n->parent == NULL)
		return at;
	at = write_path(n->parent, path, at);
	if (n->key == NULL)
		len = snprintf(path + at, PATH_BYTES - at, "[]");
	else
		len = snprintf(path + at, PATH_BYTES - at, "%s%.64s",
		    at > 0 ? "." : "", n->key);
	if (len > 0)
		at += (size_t)len;
	return at < PATH_BYTES ? at : PATH_BYTES - 1;
}

static void __attribute__((format(printf, 3, 0)))
add_node_problem(struct config_check *c, const struct node *n, const char *fmt,
    va_list ap)
{
	char path[PATH_BYTES] = "";

	(void)write_path(n, path, 0);
	add_problem(c, n->line, path, fmt, ap);
}

void
config_line_problem(struct config_check *c, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_problem(c, line, "", fmt, ap);
	va_end(ap);
}

void
config_node_problem(struct config_check *c, const struct node *n,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_node_problem(c, n, fmt, ap);
	va_end(ap);
}

void
config_problem(struct config_check *c, unsigned line, const char *option,
    const char *fmt, ...)
{
	const struct node *n = NULL;
	char path[PATH_BYTES] = "";
	size_t at;
	va_list ap;

	at = write_path(c->at, path, 0);
	if (option != NULL && option[0] != '\0') {
		n = config_node_get(c->at, option);
		(void)snprintf(path + at, sizeof(path) - at, "%s%s",
		    at > 0 ? "." : "", option);
	}
	va_start(ap, fmt);
	add_problem(c, n != NULL ? n->line : line, path, fmt, ap);
	va_end(ap);
}

void
config_item_problem(struct config_check *c, const char *option, size_t i,
    const char *fmt, ...)
{
	const struct node *n = config_node_get(c->at, option);
	const struct node *item = n != NULL ? config_node_item(n, i) : NULL;
	va_list ap;

	va_start(ap, fmt);
	if (item == NULL)
		item = n != NULL ? n : c->at;
	add_node_problem(c, item, fmt, ap);
	va_end(ap);
}

/* Insertion keeps those of one line in the order in which they were found. */
static void
sort_problems(struct problem *p, size_t n)
{
	size_t i, j;

	for (i = 1; i < n; i++) {
		struct problem moving = p[i];

		for (j = i; j > 0 && p[j - 1].line > moving.line; j--)
			p[j] = p[j - 1];
		p[j] = moving;
	}
}

void
config_problems_add(struct config_check *c, struct buf *b)
{
	size_t i, shown = c->n < CONFIG_SHOWN_MAX ? c->n : CONFIG_SHOWN_MAX;

	sort_problems(c->problems, shown);
	for (i = 0; i < shown; i++)
		(void)buf_printf(b, "%s\n", c->problems[i].text);
	if (shown < c->n)
		(void)buf_printf(b, "%s: and %zu more\n", c->file, c->n - shown);
}

void
config_check_free(struct config_check *c)
{
	free(c->problems);
	c->problems = NULL;
	config_arena_free(&c->scratch);
}
