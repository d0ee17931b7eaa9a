/* bucket_key.c - names of objects, from templates of the configuration.
 *
 * Only what the spool knows of an instance without patient data may stand in a
 * name. Values come from the wire: what is no letter, digit, dot, dash or
 * underscore in them is written as %XX, so that a name stays one part of a path
 * and two values never make the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/bucket_int.h"

#define NUMBER_DIGITS "%04u"

const char *const bucket_key_words[] = { "study", "series", "instance", "version",
	"id", "class", "modality", NULL };
const char *const bucket_key_needs[] = { "instance", NULL };
const char *const bucket_manifest_words[] = { "study", "number", NULL };
const char *const bucket_manifest_needs[] = { "study", "number", NULL };

struct value { const char *word, *text; };

/* ---- checking ------------------------------------------------------------ */

static size_t
find_word(const char *const *known, const char *word, size_t len)
{
	size_t i;

	for (i = 0; known[i] != NULL; i++) {
		if (strlen(known[i]) == len && memcmp(known[i], word, len) == 0)
			break;
	}
	return i;
}

static int
refuse_word(const char *word, size_t len, const char *const *known,
    struct buf *why)
{
	(void)buf_printf(why, "{%.*s} is unknown here: right are", (int)len, word);
	for (size_t i = 0; known[i] != NULL; i++)
		(void)buf_printf(why, "%s {%s}", i > 0 ? "," : "", known[i]);
	return -EINVAL;
}

static int
check_words(const char *text, const char *const *known, struct buf *why)
{
	size_t len = 0;

	while ((text += strcspn(text, "{}"))[0] != '\0') {
		const char *end = strchr(text, '}');

		if (*text == '}' || end == NULL) {
			(void)buf_add_str(why, "a brace without its other half");
			return -EINVAL;
		}
		len = (size_t)(end - text) - 1;
		if (known[find_word(known, text + 1, len)] == NULL)
			return refuse_word(text + 1, len, known, why);
		text = end + 1;
	}
	return 0;
}

static int
check_parts(const char *text, struct buf *why)
{
	size_t len;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p < 0x20 || *p > 0x7e) {
			(void)buf_add_str(why, "only printable ASCII characters are "
			    "right in names of objects");
			return -EINVAL;
		}
	}
	for (;;) {
		len = strcspn(text, "/");
		if (len == 0 || strspn(text, ".") >= len) {
			(void)buf_add_str(why, "no part between slashes may be "
			    "empty, `.` or `..`, and none stands at either end");
			return -EINVAL;
		}
		if (text[len] == '\0')
			return 0;
		text += len + 1;
	}
}

static unsigned
count_word(const char *text, const char *word)
{
	AUTO_FREE char *braced = xasprintf("{%s}", word);
	unsigned n = 0;

	while ((text = strstr(text, braced)) != NULL) {
		text += strlen(braced);
		n++;
	}
	return n;
}

int
bucket_template_check(const char *text, const char *const *known,
    const char *const *needed, struct buf *why)
{
	int r = check_words(text, known, why);

	if (r == 0)
		r = check_parts(text, why);
	for (; r == 0 && *needed != NULL; needed++) {
		if (count_word(text, *needed) == 1)
			continue;
		(void)buf_printf(why, "{%s} must stand in it once", *needed);
		r = -EINVAL;
	}
	return r;
}

/* ---- making -------------------------------------------------------------- */

static void
add_value(struct buf *b, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	bool dots = text[strspn(text, ".")] == '\0';

	if (*text == '\0')
		(void)buf_add_char(b, '_');
	for (; *text != '\0'; text++) {
		if (strchr(plain, *text) != NULL || (*text == '.' && !dots))
			(void)buf_add_char(b, *text);
		else
			(void)buf_printf(b, "%%%02X", (unsigned char)*text);
	}
}

static void
add_word(struct buf *b, const struct value *values, const char *word, size_t len)
{
	for (; values->word != NULL; values++) {
		if (strlen(values->word) == len &&
		    memcmp(values->word, word, len) == 0)
			add_value(b, values->text);
	}
}

static void
expand(struct buf *b, const char *text, size_t len, const struct value *values)
{
	const char *end = text + len;

	while (text < end) {
		const char *close = *text == '{' ? strchr(text, '}') : NULL;

		if (close != NULL) {
			add_word(b, values, text + 1, (size_t)(close - text) - 1);
			text = close + 1;
		} else {
			(void)buf_add_char(b, *text++);
		}
	}
}

static char *
make_name(const struct bucket *b, const char *text, size_t len,
    const struct value *values)
{
	struct buf name = BUF_INIT(S3_KEY_MAX + 1);

	(void)buf_add_str(&name, b->prefix);
	expand(&name, text, len, values);
	if (buf_error(&name) == 0 && name.len <= S3_KEY_MAX)
		return buf_take(&name);
	buf_free(&name);
	return NULL;
}

char *
bucket_key(const struct bucket *b, const struct spool_instance *in)
{
	char version[16], id[24];
	const struct value values[] = {
		{ "study", in->study_uid },
		{ "series", in->series_uid },
		{ "instance", in->sop_instance },
		{ "version", version },
		{ "id", id },
		{ "class", in->sop_class },
		{ "modality", in->modality },
		{ NULL, NULL },
	};

	(void)snprintf(version, sizeof(version), "%u", in->version);
	(void)snprintf(id, sizeof(id), "%" PRIu64, in->id);
	return make_name(b, b->key, strlen(b->key), values);
}

static char *
make_manifest(const struct bucket *b, const char *text, size_t len,
    const char *study, unsigned number)
{
	char digits[16];
	const struct value values[] = {
		{ "study", study },
		{ "number", digits },
		{ NULL, NULL },
	};

	(void)snprintf(digits, sizeof(digits), NUMBER_DIGITS, number);
	return make_name(b, text, len, values);
}

char *
bucket_manifest_key(const struct bucket *b, const char *study, unsigned number)
{
	return make_manifest(b, b->manifest, strlen(b->manifest), study, number);
}

char *
bucket_manifest_prefix(const struct bucket *b, const char *study)
{
	const char *number = strstr(b->manifest, "{number}");

	return make_manifest(b, b->manifest, (size_t)(number - b->manifest), study,
	    0);
}

char *
bucket_manifest_suffix(const struct bucket *b, const char *study)
{
	const char *rest = strstr(b->manifest, "{number}") + strlen("{number}");
	struct bucket bare = { .prefix = (char[]){ "" } };

	return make_manifest(&bare, rest, strlen(rest), study, 0);
}
