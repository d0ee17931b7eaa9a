/* describe.c - what stands there, what would be right, and what was perhaps
 * meant, in the words that messages and reference share.
 */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_int.h"
#include "gateway/base/cleanup.h"

#define SHOWN_BYTES   60
#define SUGGEST_BYTES 40

static void
add_shortened(struct buf *b, const char *s)
{
	size_t len = strlen(s);

	if (len <= SHOWN_BYTES) {
		(void)buf_add(b, s, len);
		return;
	}
	len = SHOWN_BYTES;
	while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
		len--;
	(void)buf_add(b, s, len);
	(void)buf_add_str(b, "...");
}

/* A URL's user and query may be secrets, and what is found goes into logs. */
static void
add_found(struct buf *b, const char *s)
{
	const char *host = strstr(s, "://");
	const char *at = host != NULL ? strrchr(host, '@') : NULL;
	size_t query = strcspn(s, "?#");
	char *shown;

	if (host == NULL) {
		add_shortened(b, s);
		return;
	}
	if (at == NULL)
		at = host + 3;
	if (at > s + query)
		query = strlen(s);
	shown = xasprintf("%.*s%s%.*s%s", (int)(host + 3 - s), s,
	    *at == '@' ? "..." : "", (int)(s + query - at), at,
	    s[query] != '\0' ? "?..." : "");
	add_shortened(b, shown);
	free(shown);
}

void
config_describe_found(const struct node *n, struct buf *b)
{
	switch (n->type) {
	case NODE_NOTHING:
		(void)buf_add_str(b, "nothing");
		return;
	case NODE_LIST:
		(void)buf_add_str(b, "a list");
		return;
	case NODE_SECTION:
		(void)buf_add_str(b, "a section");
		return;
	case NODE_TEXT:
		break;
	}
	(void)buf_add_str(b, n->quoted ? "the quoted text `" : "`");
	add_found(b, n->text);
	(void)buf_add_char(b, '`');
}

static void
add_choices(struct buf *b, const char *const *choices)
{
	size_t i;

	for (i = 0; choices[i] != NULL; i++)
		(void)buf_printf(b, "%s%s", i > 0 ? ", " : "", choices[i]);
}

static const char *
number_name(enum config_type type, const char **ret_example)
{
	switch (type) {
	case CONFIG_SIZE:
		*ret_example = "5GiB";
		return "a size";
	case CONFIG_DURATION:
		*ret_example = "30s";
		return "a time";
	case CONFIG_RATE:
		*ret_example = "50Mbit";
		return "a rate in bits per second";
	case CONFIG_CLOCK:
		*ret_example = "07:00";
		return "a time of day";
	default:
		return "a whole number";
	}
}

static void
add_number_wanted(struct buf *b, const struct config_option *o)
{
	const char *example = NULL;

	(void)buf_add_str(b, number_name(o->type, &example));
	if (o->min > 0) {
		(void)buf_add_str(b, o->max > 0 ? " from " : " of at least ");
		config_number_print(b, o->type, o->min);
	}
	if (o->max > 0) {
		(void)buf_add_str(b, o->min > 0 ? " to " : " of at most ");
		config_number_print(b, o->type, o->max);
	}
	if (o->fallback != NULL)
		example = o->fallback;
	if (example != NULL)
		(void)buf_printf(b, ", such as %s", example);
	if (o->none)
		(void)buf_add_str(b, ", or none");
}

static void
add_kinds_wanted(struct buf *b, const struct config_option *o)
{
	const struct config_kind *const *kind = o->kinds();

	if (*kind == NULL) {
		(void)buf_add_str(b, "a kind, but this program has none");
		return;
	}
	(void)buf_add_str(b, strcmp(o->name, "type") == 0 ?
	    "one of: " : "a section with `type`, one of: ");
	for (; *kind != NULL; kind++)
		(void)buf_printf(b, "%s%s", (*kind)->name,
		    kind[1] != NULL ? ", " : "");
}

static const char *const wanted[] = {
	[CONFIG_STRING] = "text",
	[CONFIG_TITLE] = "an AE title of 1 to 16 characters, such as CT1",
	[CONFIG_NAME] = "a name of at most 32 small letters, digits, - and _, "
			"such as cloud",
	[CONFIG_FILE] = "the path of a file, such as /etc/causeway/tls/cert.pem",
	[CONFIG_DIR] = "the path of a directory, such as /var/lib/causeway/spool",
	[CONFIG_PATH] = "a path, such as /run/causeway/control.sock",
	[CONFIG_URL] = "a URL, such as https://pacs.example.org/dicom-web",
	[CONFIG_BOOL] = "true or false",
	[CONFIG_STRINGS] = "a text or a list, such as [A, B]",
	[CONFIG_KIND] = NULL,
};

void
config_describe_wanted(const struct config_option *o, struct buf *b)
{
	switch (o->type) {
	case CONFIG_UINT:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_RATE:
	case CONFIG_CLOCK:
		add_number_wanted(b, o);
		return;
	case CONFIG_ENUM:
		(void)buf_add_str(b, "one of: ");
		add_choices(b, o->choices);
		return;
	case CONFIG_FLAGS:
		(void)buf_add_str(b, "one or a list of: ");
		add_choices(b, o->choices);
		if (o->ranges)
			(void)buf_printf(b, ", and of ranges such as %s-%s",
			    o->choices[0], o->choices[1]);
		return;
	case CONFIG_SECTION:
		(void)buf_printf(b, "a section of options, such as `%s: {%s: ...}`",
		    o->name, o->section->options[0].name);
		return;
	case CONFIG_LIST:
		(void)buf_printf(b, "a list of sections, such as `%s: [{%s: ...}]`",
		    o->name, o->section->options[0].name);
		return;
	case CONFIG_KIND:
		add_kinds_wanted(b, o);
		return;
	default:
		break;
	}
	assert((size_t)o->type < ARRAY_LEN(wanted) && wanted[o->type] != NULL);
	(void)buf_add_str(b, wanted[o->type]);
	if (o->type == CONFIG_TITLE && o->choices != NULL) {
		(void)buf_add_str(b, ", or one of: ");
		add_choices(b, o->choices);
	}
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static bool
same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Letters left out, added, changed, or swapped with their neighbour. */
static unsigned
edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned d[SUGGEST_BYTES + 1][SUGGEST_BYTES + 1];
	size_t i, j;

	for (i = 0; i <= na; i++)
		d[i][0] = (unsigned)i;
	for (j = 0; j <= nb; j++)
		d[0][j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		for (j = 1; j <= nb; j++) {
			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
			    d[i - 1][j - 1] + !same_letter(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
			    same_letter(a[i - 2], b[j - 1]))
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[na][nb];
}

const char *
config_suggest(const char *name, const char *const *known, size_t n)
{
	size_t len = strlen(name), i;
	unsigned limit = len < 5 ? 2 : len < 9 ? 3 : 4;	/* this is too far */
	const char *best = NULL;

	if (len < 2 || len > SUGGEST_BYTES)
		return NULL;
	for (i = 0; i < n; i++) {
		size_t known_len = strlen(known[i]);
		unsigned far;

		if (known_len > SUGGEST_BYTES)
			continue;
		far = edit_distance(name, len, known[i], known_len);
		if (far < limit) {
			limit = far;
			best = known[i];
		}
	}
	return best;
}
