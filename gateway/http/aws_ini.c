/* aws_ini.c - one profile of AWS's shared config and credentials files.
 *
 * The rules are those that AWS's SDKs test each other against: a file that breaks
 * them is an error as a whole, but sections and settings whose names are not valid
 * are passed over. Quotes have no meaning.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/http/aws_ini_int.h"

#define SETTINGS_MAX 256
#define BLANKS	     " \t"
#define NAME_CHARS   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
		     "0123456789-_/%@:+."

struct setting {
	char *key, *value;
	bool  prefixed;		/* from [profile default] */
};

struct aws_ini {
	char	      *profile;
	struct setting setting[SETTINGS_MAX];
	size_t	       n;
	bool	       found, misnamed;
};

struct slice {
	const char *s;
	size_t	    len;
};

/* Where the reading of one file is. */
struct reader {
	struct aws_ini *p;
	enum aws_ini_kind kind;
	const char *file;
	unsigned line;
	struct buf *why;
	size_t	 before;	/* settings of the files before this one */
	bool	 in_section;	/* of any name */
	bool	 ours;		/* of the profile's */
	bool	 prefixed;	/* it stands in [profile x] */
	bool	 default_prefixed;	/* [profile default] was seen */
	bool	 in_setting;	/* a continuation may follow */
	bool	 nested;	/* its value is empty: settings of its own follow */
	struct setting *last;	/* that a continuation belongs to; NULL: not ours */
};

struct aws_ini *
aws_ini_new(const char *profile)
{
	struct aws_ini *p = xcalloc(1, sizeof(*p));

	p->profile = xstrdup(profile);
	return p;
}

static void
wipe(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

static void
clear_setting(struct setting *s)
{
	wipe(s->key);
	wipe(s->value);
	*s = (struct setting){ 0 };
}

void
aws_ini_free(struct aws_ini *p)
{
	if (p == NULL)
		return;
	while (p->n > 0)
		clear_setting(&p->setting[--p->n]);
	free(p->profile);
	free(p);
}

bool
aws_ini_found(const struct aws_ini *p)
{
	return p->found;
}

bool
aws_ini_misnamed(const struct aws_ini *p)
{
	return p->misnamed;
}

const char *
aws_ini_get(const struct aws_ini *p, const char *key)
{
	for (size_t i = p->n; i-- > 0;) {
		if (strcasecmp(p->setting[i].key, key) == 0)
			return p->setting[i].value;
	}
	return NULL;
}

/* ---- lines --------------------------------------------------------------- */

static int
refuse(const struct reader *r, const char *what)
{
	(void)buf_printf(r->why, "%s:%u: %s", r->file, r->line, what);
	return -EINVAL;
}

static struct slice
trim(const char *s, size_t len)
{
	while (len > 0 && strchr(BLANKS "\r", s[len - 1]) != NULL)
		len--;
	while (len > 0 && strchr(BLANKS "\r", *s) != NULL) {
		s++;
		len--;
	}
	return (struct slice){ s, len };
}

static bool
name_ok(struct slice name)
{
	return name.len > 0 && strspn(name.s, NAME_CHARS) >= name.len;
}

static bool
is_comment(char c)
{
	return c == '#' || c == ';';
}

/* Behind a value a comment needs white space before it. */
static size_t
value_length(const char *s, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if (is_comment(s[i]) && strchr(BLANKS, s[i - 1]) != NULL)
			return i;
	}
	return len > 0 && is_comment(s[0]) ? 0 : len;
}

static void
drop_setting(struct aws_ini *p, size_t i)
{
	clear_setting(&p->setting[i]);
	memmove(&p->setting[i], &p->setting[i + 1],
	    (p->n - i - 1) * sizeof(p->setting[0]));
	p->setting[--p->n] = (struct setting){ 0 };
}

/* [profile default] puts what [default] of this file says out of force. */
static void
forget_plain(struct reader *r)
{
	for (size_t i = r->p->n; i-- > r->before;) {
		if (!r->p->setting[i].prefixed)
			drop_setting(r->p, i);
	}
}

static void
enter_profile(struct reader *r, struct slice name, bool prefixed)
{
	const char *wanted = r->p->profile;
	bool same = name.len == strlen(wanted) &&
	    memcmp(name.s, wanted, name.len) == 0;
	bool is_default = name.len == 7 && memcmp(name.s, "default", 7) == 0;

	r->prefixed = prefixed;
	if (!same)
		return;
	if (r->kind == AWS_INI_CONFIG && !prefixed && !is_default) {
		r->p->misnamed = true;
		return;
	}
	if (r->kind == AWS_INI_CONFIG && is_default && prefixed) {
		r->default_prefixed = true;
		forget_plain(r);
	}
	r->ours = prefixed || !r->default_prefixed;
	r->p->found = r->p->found || r->ours;
}

static int
read_section(struct reader *r, const char *s, size_t len)
{
	const char *end = memchr(s, ']', len);
	struct slice name, rest;
	bool prefixed;

	if (end == NULL)
		return refuse(r, "a section's name ends with `]`");
	rest = trim(end + 1, len - (size_t)(end + 1 - s));
	if (rest.len > 0 && !is_comment(*rest.s))
		return refuse(r, "only a comment may follow a section's `]`");
	name = trim(s + 1, (size_t)(end - s) - 1);
	prefixed = r->kind == AWS_INI_CONFIG && name.len > 8 &&
	    memcmp(name.s, "profile", 7) == 0 && strchr(BLANKS, name.s[7]) != NULL;
	if (prefixed)
		name = trim(name.s + 8, name.len - 8);
	r->in_section = true;
	r->ours = r->in_setting = r->nested = false;
	r->last = NULL;
	if (name_ok(name))
		enter_profile(r, name, prefixed);
	return 0;
}

static int
store_setting(struct reader *r, struct slice key, struct slice value)
{
	struct aws_ini *p = r->p;

	if (p->n == SETTINGS_MAX)
		return refuse(r, "the profile has too many settings");
	r->last = &p->setting[p->n++];
	r->last->key = xstrndup(key.s, key.len);
	r->last->value = xstrndup(value.s, value.len);
	r->last->prefixed = r->prefixed;
	return 0;
}

static int
read_setting(struct reader *r, const char *s, size_t len)
{
	const char *equals = memchr(s, '=', len);
	struct slice key, value;

	if (!r->in_section)
		return refuse(r, "a setting stands before the first [section]");
	if (equals == NULL)
		return refuse(r, "wanted `key = value`");
	key = trim(s, (size_t)(equals - s));
	if (key.len == 0)
		return refuse(r, "a key is missing before `=`");
	len -= (size_t)(equals + 1 - s);
	value = trim(equals + 1, value_length(equals + 1, len));
	r->in_setting = true;
	r->nested = value.len == 0;
	r->last = NULL;
	if (!r->ours || !name_ok(key))
		return 0;
	return store_setting(r, key, value);
}

static int
continue_setting(struct reader *r, struct slice text)
{
	char *longer;

	if (!r->in_setting)
		return refuse(r, "an indented line follows no setting");
	if (r->nested) {
		if (memchr(text.s, '=', text.len) == NULL || *text.s == '=')
			return refuse(r, "wanted `key = value` below the setting");
		return 0;
	}
	if (r->last == NULL)
		return 0;
	longer = xcalloc(1, strlen(r->last->value) + text.len + 2);
	(void)memcpy(longer, r->last->value, strlen(r->last->value));
	longer[strlen(longer)] = '\n';
	(void)memcpy(longer + strlen(longer), text.s, text.len);
	wipe(r->last->value);
	r->last->value = longer;
	return 0;
}

static int
read_line(struct reader *r, const char *s, size_t len)
{
	struct slice text = trim(s, len);

	/* An indented comment is none to some SDKs; to people it is. */
	if (text.len == 0 || is_comment(text.s[0]))
		return 0;
	if (strchr(BLANKS, s[0]) != NULL)
		return continue_setting(r, text);
	return text.s[0] == '[' ? read_section(r, text.s, text.len) :
	    read_setting(r, text.s, text.len);
}

int
aws_ini_add(struct aws_ini *p, enum aws_ini_kind kind, const char *file,
    const char *text, size_t len, struct buf *why)
{
	struct reader r = { .p = p, .kind = kind, .file = file, .why = why,
		.before = p->n };
	const char *end = text + len, *eol;
	int e = 0;

	if (memchr(text, '\0', len) != NULL) {
		(void)buf_printf(why, "%s: is no text", file);
		return -EINVAL;
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (; e == 0 && text < end; text = eol + 1) {
		eol = memchr(text, '\n', (size_t)(end - text));
		if (eol == NULL)
			eol = end;
		r.line++;
		e = read_line(&r, text, (size_t)(eol - text));
	}
	return e;
}
