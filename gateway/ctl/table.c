/* table.c - aligned columns of texts that may hold anything.
 *
 * Where lines are longer than the terminal, the columns that may shrink give
 * way, the widest first, down to SHRUNK.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

#define COLUMNS_MAX 16
#define SHRUNK	    8
#define GAP	    2
#define WIDTH	    100
#define NOTE_INDENT 4
#define CELL_MAX    (16u << 10)

struct row {
	char  *cell[COLUMNS_MAX];
	char **note;
	size_t n_notes;
};

struct ctl_table {
	const struct ctl_column *columns;
	size_t	    n_columns, n_rows, n_cells;	/* n_cells: of the last row */
	struct row *rows;
};

struct ctl_table *
ctl_table_new(const struct ctl_column *columns, size_t n)
{
	struct ctl_table *t = xcalloc(1, sizeof(*t));

	assert(n > 0 && n <= COLUMNS_MAX);
	t->columns = columns;
	t->n_columns = n;
	return t;
}

static char *
escape(const char *text)
{
	struct buf b = BUF_INIT(CELL_MAX);

	ctl_escape(&b, text);
	return buf_take(&b);
}

void
ctl_table_add(struct ctl_table *t, const char *text)
{
	if (t->n_rows == 0 || t->n_cells == t->n_columns) {
		t->rows = xreallocarray(t->rows, t->n_rows + 1, sizeof(t->rows[0]));
		t->rows[t->n_rows++] = (struct row){ 0 };
		t->n_cells = 0;
	}
	t->rows[t->n_rows - 1].cell[t->n_cells++] = escape(text);
}

void
ctl_table_add_u64(struct ctl_table *t, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	ctl_table_add(t, text);
}

void
ctl_table_note(struct ctl_table *t, const char *text)
{
	struct row *r;

	assert(t->n_rows > 0);
	r = &t->rows[t->n_rows - 1];
	r->note = xreallocarray(r->note, r->n_notes + 1, sizeof(r->note[0]));
	r->note[r->n_notes++] = xstrdup(text);
}

size_t
ctl_table_rows(const struct ctl_table *t)
{
	return t->n_rows;
}

/* ---- printing ----------------------------------------------------------- */

static size_t
line_width(FILE *out)
{
	struct winsize w;

	if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &w) == 0 &&
	    w.ws_col >= 40)
		return w.ws_col;
	return WIDTH;
}

void
ctl_wrap(FILE *out, const char *first, size_t indent, const char *text, size_t width)
{
	struct buf shown = BUF_INIT(64 << 10);
	size_t limit = width != 0 ? width : line_width(out), used = indent, len;
	const char *at;

	ctl_escape(&shown, text);
	at = shown.len > 0 ? shown.data : "";
	(void)fprintf(out, "%-*s", (int)indent, first);
	for (bool begun = false; *at != '\0'; at += len + strspn(at + len, " ")) {
		AUTO_FREE char *word = NULL;

		len = strcspn(at, " ");
		word = xstrndup(at, len);
		if (begun && used + 1 + ctl_width(word) > limit) {
			(void)fprintf(out, "\n%*s", (int)indent, "");
			used = indent;
		} else if (begun) {
			(void)fputc(' ', out);
			used++;
		}
		(void)fputs(word, out);
		used += ctl_width(word);
		begun = true;
	}
	(void)fputc('\n', out);
	buf_free(&shown);
}

static size_t
total_width(const struct ctl_table *t, const size_t *width)
{
	size_t sum = (t->n_columns - 1) * GAP;

	for (size_t i = 0; i < t->n_columns; i++)
		sum += width[i];
	return sum;
}

static void
measure_columns(const struct ctl_table *t, size_t line, size_t *width)
{
	for (size_t i = 0; i < t->n_columns; i++) {
		width[i] = ctl_width(t->columns[i].title);
		for (size_t j = 0; j < t->n_rows; j++) {
			const char *cell = t->rows[j].cell[i];
			size_t w = cell != NULL ? ctl_width(cell) : 0;

			width[i] = w > width[i] ? w : width[i];
		}
	}
	while (total_width(t, width) > line) {
		size_t *widest = NULL;

		for (size_t i = 0; i < t->n_columns; i++)
			if (t->columns[i].shrink && width[i] > SHRUNK &&
			    (widest == NULL || width[i] > *widest))
				widest = &width[i];
		if (widest == NULL)
			return;
		(*widest)--;
	}
}

static void
add_padding(struct buf *b, size_t n)
{
	while (n-- > 0)
		(void)buf_add_char(b, ' ');
}

static void
add_cell(struct buf *b, const struct ctl_column *col, const char *text,
    size_t width, bool last)
{
	struct buf cut = BUF_INIT(CELL_MAX + 8);
	size_t w;

	ctl_cut(&cut, text, col->shrink ? width : SIZE_MAX);
	w = cut.len > 0 ? ctl_width(cut.data) : 0;
	if (col->right && w < width)
		add_padding(b, width - w);
	if (cut.len > 0)
		(void)buf_add(b, cut.data, cut.len);
	if (!last)
		add_padding(b, GAP + (!col->right && w < width ? width - w : 0));
	buf_free(&cut);
}

static void
print_line(const struct ctl_table *t, const struct row *r, const size_t *width,
    FILE *out)
{
	struct buf b = BUF_INIT(COLUMNS_MAX * (CELL_MAX + 256));

	for (size_t i = 0; i < t->n_columns; i++) {
		const char *text = r == NULL ? t->columns[i].title : r->cell[i];

		add_cell(&b, &t->columns[i], text != NULL ? text : "", width[i],
		    i + 1 == t->n_columns);
	}
	while (b.len > 0 && b.data[b.len - 1] == ' ')
		b.data[--b.len] = '\0';
	(void)fprintf(out, "%s\n", b.len > 0 ? b.data : "");
	buf_free(&b);
}

void
ctl_table_print(const struct ctl_table *t, FILE *out, size_t width)
{
	size_t widths[COLUMNS_MAX];

	if (t->n_rows == 0)
		return;
	measure_columns(t, width != 0 ? width : line_width(out), widths);
	print_line(t, NULL, widths, out);
	for (size_t i = 0; i < t->n_rows; i++) {
		print_line(t, &t->rows[i], widths, out);
		for (size_t j = 0; j < t->rows[i].n_notes; j++)
			ctl_wrap(out, "", NOTE_INDENT, t->rows[i].note[j], width);
	}
}

void
ctl_table_free(struct ctl_table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n_rows; i++) {
		for (size_t j = 0; j < COLUMNS_MAX; j++)
			free(t->rows[i].cell[j]);
		for (size_t j = 0; j < t->rows[i].n_notes; j++)
			free(t->rows[i].note[j]);
		free(t->rows[i].note);
	}
	free(t->rows);
	free(t);
}
