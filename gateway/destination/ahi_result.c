/* ahi_result.c - what an import says of its files: the manifest, and a list of JSON
 * lines each for success, failure and warnings.
 *
 * Read as it streams in. A line that cannot be read is counted and costs itself
 * alone; files that nobody here has sent are passed over. A file is known by the
 * last component of its path, which is unique: whether the path is relative to the
 * bucket or to the prefix is not documented. Nor is whether the place that
 * GetDICOMImportJob tells is the job's own folder or the one above: both are tried.
 *
 * Sources: AWS HealthImaging developer guide, "Understanding import jobs",
 * "Warning codes".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/destination/ahi_int.h"

#define MANIFEST_MAX (256u << 10)
#define RECORD_MAX   (64u << 10)
#define LIST_MAX     (UINT64_C(128) << 20)

static void
free_json(json_t **p)
{
	json_decref(*p);
}

static const struct {
	unsigned code;
	const char *words;
} warnings[] = {
	{ 0xb000, "values were coerced" },
	{ 0xb006, "elements were discarded" },
	{ 0xb007, "the data set does not match its SOP class" },
	{ 0xb100, "its pixels could not be transcoded" },
	{ 0xb110, "its frames could not be extracted" },
	{ 0xb111, "the number of frames does not match" },
	{ 0xb112, "its offset table is not valid" },
	{ 0xb120, "its transfer syntax is not supported" },
	/* The guide's decimals beside these are other numbers than its
	 * hexadecimals: 45570, 45571 and 47513. */
	{ 0xb201, "a UID is ill-formed" },
	{ 0xb202, "a value is too long, or a UID is ill-formed" },
	{ 0xb203, "a value is too long" },
	{ 0xb999, "for another reason" },
	{ 0xbfff, "for another reason" },
};

const char *
ahi_warning_words(unsigned code)
{
	for (size_t i = 0; i < ARRAY_LEN(warnings); i++) {
		if (warnings[i].code == code)
			return warnings[i].words;
	}
	return "for a reason that is not documented";
}

/* ---- one line ------------------------------------------------------------ */

enum list { LIST_SUCCESS, LIST_FAILURE, LIST_WARNING, LISTS };

struct reading {
	struct ahi_outcomes *o;
	enum list   list;
	struct buf  line;
	bool	    too_long;	/* the rest of the line is passed over */
	uint64_t    left;	/* bytes that a list may still have */
};

static void
copy_text(char *ret, size_t size, const char *s)
{
	size_t n = 0;

	for (; s != NULL && *s != '\0' && n + 1 < size; s++) {
		if (*s >= 0x20 && *s < 0x7f)
			ret[n++] = *s;
	}
	ret[n] = '\0';
}

static int
compare_id(const void *key, const void *outcome)
{
	uint64_t a = *(const uint64_t *)key;
	uint64_t b = ((const struct ahi_outcome *)outcome)->id;

	return a < b ? -1 : a > b;
}

/* By "…/UID.ID.dcm". */
static struct ahi_outcome *
find_file(const struct ahi_outcomes *o, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	size_t len = strlen(name);
	struct ahi_outcome *found;
	const char *dot;
	uint64_t id = 0;

	if (o->n == 0 || len < 5 || strcmp(name + len - 4, ".dcm") != 0)
		return NULL;
	dot = memrchr(name, '.', len - 4);
	if (dot == NULL || name + len - 4 - dot > 21)
		return NULL;
	for (const char *p = dot + 1; p < name + len - 4; p++) {
		if (*p < '0' || *p > '9')
			return NULL;
		id = id * 10 + (uint64_t)(*p - '0');
	}
	found = bsearch(&id, o->v, o->n, sizeof(*o->v), compare_id);
	return found != NULL && strcmp(found->file, name) == 0 ? found : NULL;
}

static void
mark(struct ahi_outcome *out, unsigned listed, unsigned same_list)
{
	if (out->listed & same_list)
		out->listed |= AHI_TWICE;
	out->listed |= listed;
}

static void
take_response(struct ahi_outcome *out, const json_t *response)
{
	const char *set = json_string_value(json_object_get(response, "imageSetId"));

	copy_text(out->image_set, sizeof(out->image_set), set);
	if (json_is_false(json_object_get(response, "isPrimary")))
		out->listed |= AHI_NOT_PRIMARY;
}

static void
take_warning(struct ahi_outcome *out, const json_t *response)
{
	const json_t *first = json_array_get(json_object_get(response, "warnings"),
	    0);
	const json_t *code = json_object_get(first, "warning_reason_code");
	const char *text = json_string_value(code);

	/* A number by the guide; its table has them in hexadecimal. */
	if (json_is_integer(code))
		out->code = (unsigned)json_integer_value(code) & 0xffff;
	else if (text != NULL)
		out->code = (unsigned)strtoul(text, NULL,
		    strpbrk(text, "bBxX") != NULL ? 16 : 10) & 0xffff;
	copy_text(out->words, sizeof(out->words),
	    json_string_value(json_object_get(first, "message")));
}

static bool
is_server_error(const char *type)
{
	return type != NULL && (strstr(type, "Internal") != NULL ||
	    strstr(type, "Throttl") != NULL ||
	    strstr(type, "Unavailable") != NULL);
}

static void
take_failure(struct ahi_outcome *out, const json_t *exception)
{
	const char *type = json_string_value(json_object_get(exception,
	    "exceptionType"));
	const char *message = json_string_value(json_object_get(exception,
	    "message"));

	mark(out, is_server_error(type) ? AHI_SERVER_ERROR : AHI_CUSTOMER_ERROR,
	    AHI_SERVER_ERROR | AHI_CUSTOMER_ERROR);
	copy_text(out->words, sizeof(out->words), message != NULL ? message : type);
}

/* The guide's own sample says True. Only outside of strings. */
static void
unpython(char *s)
{
	static const struct { const char *from, *to; } words[] = {
		{ "True", "true" }, { "False", "false" }, { "None", "null" },
	};
	bool quoted = false;

	for (; *s != '\0'; s++) {
		if (*s == '\\' && s[1] != '\0')
			s++;
		else if (*s == '"')
			quoted = !quoted;
		for (size_t i = 0; !quoted && i < ARRAY_LEN(words); i++) {
			size_t n = strlen(words[i].from);

			if (strncmp(s, words[i].from, n) == 0)
				memcpy(s, words[i].to, n);
		}
	}
}

static json_t *
parse_line(struct buf *line)
{
	json_t *o = json_loadb(line->data, line->len, 0, NULL);

	if (o != NULL || memchr(line->data, '\0', line->len) != NULL)
		return o;
	unpython(line->data);
	return json_loadb(line->data, line->len, 0, NULL);
}

static bool
take_record(struct reading *g, const json_t *o)
{
	const char *file = json_string_value(json_object_get(o, "inputFile"));
	const json_t *response = json_object_get(o, "importResponse");
	const json_t *exception = json_object_get(o, "exception");
	struct ahi_outcome *out;

	if (file == NULL || !json_is_object(g->list == LIST_FAILURE ? exception :
		response))
		return false;
	out = find_file(g->o, file);
	if (out == NULL)
		return true;		/* not one of ours */
	switch (g->list) {
	case LIST_SUCCESS:
		mark(out, AHI_SUCCESS, AHI_SUCCESS);
		take_response(out, response);
		break;
	case LIST_WARNING:
		mark(out, AHI_WARNING, AHI_WARNING);
		take_response(out, response);
		take_warning(out, response);
		break;
	case LIST_FAILURE:
		take_failure(out, exception);
		break;
	case LISTS:
		break;
	}
	return true;
}

static void
end_line(struct reading *g)
{
	AUTO(free_json) json_t *o = NULL;
	bool blank = g->line.len == 0 ||
	    strspn(g->line.data, " \t\r") == g->line.len;

	if (!blank && !g->too_long)
		o = parse_line(&g->line);
	if (g->too_long || (!blank && !take_record(g, o)))
		g->o->bad_lines++;
	buf_clear(&g->line);
	g->too_long = false;
}

static int
take_bytes(void *arg, const void *data, size_t len)
{
	struct reading *g = arg;
	const char *p = data;

	if (len > g->left)
		return -EFBIG;
	g->left -= len;
	while (len > 0) {
		const char *end = memchr(p, '\n', len);
		size_t n = end != NULL ? (size_t)(end - p) : len;

		if (!g->too_long && n > 0 && buf_add(&g->line, p, n) < 0)
			g->too_long = true;
		if (end != NULL)
			end_line(g);
		n += end != NULL;
		p += n;
		len -= n;
	}
	return 0;
}

/* ---- the lists ----------------------------------------------------------- */

struct place {
	char folder[AHI_KEY_SIZE];	/* of the job's output, in the bucket */
	json_t *manifest;
};

static const struct {
	const char *name, *member, *counts[2];
} lists[LISTS] = {
	[LIST_SUCCESS] = { "SUCCESS/success.ndjson", "successOutputS3Uri",
	    { "numberOfImportedFiles", NULL } },
	[LIST_FAILURE] = { "FAILURE/failure.ndjson", "failureOutputS3Uri",
	    { "numberOfFilesWithCustomerError",
	      "numberOfFilesWithServerError" } },
	[LIST_WARNING] = { "WARNING/warning.ndjson", "warningsOutputS3Uri",
	    { NULL, NULL } },
};

/* Where the manifest says, if that is in our bucket. */
static char *
list_key(const struct ahi *a, const struct place *p, enum list list)
{
	const json_t *summary = json_object_get(p->manifest, "jobSummary");
	const char *uri = json_string_value(json_object_get(summary,
	    lists[list].member));
	struct ahi_uri at;

	if (uri != NULL && ahi_uri_parse(uri, &at) == 0 &&
	    strcmp(at.bucket, a->output.bucket) == 0)
		return xasprintf("%s%s", at.prefix, strchr(lists[list].name, '/') + 1);
	return xasprintf("%s%s", p->folder, lists[list].name);
}

static bool
is_promised(const struct place *p, enum list list)
{
	const json_t *summary = json_object_get(p->manifest, "jobSummary");

	for (size_t i = 0; i < 2 && lists[list].counts[i] != NULL; i++) {
		if (json_integer_value(json_object_get(summary,
			lists[list].counts[i])) > 0)
			return true;
	}
	return false;
}

static enum s3_said
read_list(struct ahi *a, const struct place *p, enum list list,
    struct ahi_outcomes *o, struct destination_result *ret)
{
	struct reading g = { .o = o, .list = list, .line = BUF_INIT(RECORD_MAX),
		.left = LIST_MAX };
	AUTO_FREE char *key = list_key(a, p, list);
	enum s3_said said = s3_get(a->out, key, take_bytes, &g, ret);

	if (said == S3_DONE)
		end_line(&g);
	buf_free(&g.line);
	if (said == S3_ABSENT && !is_promised(p, list))
		return S3_DONE;
	return said;
}

/* ---- the manifest -------------------------------------------------------- */

static enum s3_said
try_manifest(struct ahi *a, struct place *p, struct destination_result *ret)
{
	struct buf text = BUF_INIT(MANIFEST_MAX);
	AUTO_FREE char *key = xasprintf("%sjob-output-manifest.json", p->folder);
	enum s3_said said = s3_get_text(a->out, key, MANIFEST_MAX, &text, ret);

	if (said == S3_DONE && text.len > 0)
		p->manifest = json_loadb(text.data, text.len, 0, NULL);
	buf_free(&text);
	/* One that is not whole yet comes late. */
	return said == S3_DONE && p->manifest == NULL ? S3_ABSENT : said;
}

static void
set_folder(struct place *p, const char *prefix, const char *more)
{
	(void)snprintf(p->folder, sizeof(p->folder), "%.700s%.300s", prefix, more);
}

/* Below what the job was started with first, then where it says. */
static enum s3_said
find_manifest(struct ahi *a, const struct ahi_job *j, struct place *p,
    struct destination_result *ret)
{
	AUTO_FREE char *own = xasprintf("%s-DicomImport-%s/", a->opt->datastore_id,
	    j->job);
	struct ahi_uri out;
	enum s3_said said;

	if (ahi_uri_parse(j->output, &out) < 0)
		return S3_ABSENT;
	set_folder(p, out.prefix, own);
	said = try_manifest(a, p, ret);
	if (said != S3_ABSENT || strcmp(j->results.bucket, a->output.bucket) != 0)
		return said;
	if (strcmp(j->results.prefix, p->folder) != 0) {
		set_folder(p, j->results.prefix, "");
		said = try_manifest(a, p, ret);
		if (said == S3_ABSENT) {
			set_folder(p, j->results.prefix, own);
			said = try_manifest(a, p, ret);
		}
	}
	return said;
}

static void
drop_place(struct place *p)
{
	json_decref(p->manifest);
}

enum s3_said
ahi_read_results(struct ahi *a, struct ahi_job *j, struct ahi_outcomes *o,
    struct destination_result *ret)
{
	AUTO(drop_place) struct place p = { .manifest = NULL };
	enum s3_said said = find_manifest(a, j, &p, ret);

	for (size_t i = 0; i < o->n; i++) {
		o->v[i].listed = o->v[i].code = 0;
		o->v[i].words[0] = o->v[i].image_set[0] = '\0';
	}
	o->bad_lines = 0;
	for (int list = 0; list < LISTS && said == S3_DONE; list++)
		said = read_list(a, &p, (enum list)list, o, ret);
	return said;
}
