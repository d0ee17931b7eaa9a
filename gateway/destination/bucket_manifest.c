/* bucket_manifest.c - what a delivery was, for whoever reads the bucket.
 *
 * A manifest is JSON: which instances of a study were delivered together, under
 * which names, with their lengths and hashes, and nothing of the patient. It is
 * written after its objects under the study's next number, on the condition that
 * nothing is there, and never again: whoever has seen number n and finds n+1 knows
 * what came. A number may be left out where a manifest could not be written; an
 * instance may stand in several.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/destination/bucket_int.h"

#ifndef CAUSEWAY_VERSION
#define CAUSEWAY_VERSION "0"
#endif

#define FORMAT	     1
#define NUMBER_MAX   999999999
#define REMOVE_MAX   100
#define ATTEMPTS     1000	/* to find a number where we may not list */

/* ---- numbers ------------------------------------------------------------- */

static struct bucket_number *
find_number(struct bucket *b, const char *study)
{
	struct bucket_number *oldest = &b->numbers[0];

	for (size_t i = 0; i < BUCKET_STUDIES; i++) {
		struct bucket_number *n = &b->numbers[i];

		if (strcmp(n->study, study) == 0)
			return n;
		if (n->used < oldest->used)
			oldest = n;
	}
	*oldest = (struct bucket_number){ .last = 0 };
	(void)snprintf(oldest->study, sizeof(oldest->study), "%s", study);
	return oldest;
}

/* From `least` on, and no other thread's: not every server keeps conditions. */
static unsigned
reserve_number(struct bucket *b, const char *study, unsigned least)
{
	LOCK_SCOPE(&b->mu);
	struct bucket_number *n = find_number(b, study);

	n->used = ++b->clock;
	n->last = n->last + 1 > least ? n->last + 1 : least;
	return n->last;
}

static void
return_number(struct bucket *b, const char *study, unsigned number)
{
	LOCK_SCOPE(&b->mu);
	struct bucket_number *n = find_number(b, study);

	if (n->last == number)
		n->last--;
}

struct numbering {
	const char *prefix, *suffix;
	unsigned    highest;
};

/* 0: no manifest's name. */
static unsigned
number_of(const struct numbering *g, const char *key)
{
	size_t before = strlen(g->prefix);
	unsigned long number;
	char *end;

	if (strncmp(key, g->prefix, before) != 0 || key[before] < '0' ||
	    key[before] > '9')
		return 0;
	number = strtoul(key + before, &end, 10);
	return strcmp(end, g->suffix) == 0 && number <= NUMBER_MAX ?
	    (unsigned)number : 0;
}

static int
note_number(void *arg, const char *key, uint64_t length)
{
	struct numbering *g = arg;
	unsigned number = number_of(g, key);

	(void)length;
	if (number > g->highest)
		g->highest = number;
	return 0;
}

/* The first that may be free; S3_FAILED with ret. */
static enum s3_said
find_least(struct bucket *b, const char *study, unsigned *ret_least,
    struct destination_result *ret)
{
	AUTO_FREE char *prefix = bucket_manifest_prefix(b, study);
	AUTO_FREE char *suffix = bucket_manifest_suffix(b, study);
	struct destination_result list = { .retry_after_ms = -1 };
	struct numbering g = { .prefix = prefix, .suffix = suffix };
	enum s3_said said;

	list.health = DESTINATION_UP;
	said = s3_list(b->s3, prefix, note_number, &g, &list);
	/* Who may only write has to try from the first on. */
	if (said == S3_DONE || list.health == DESTINATION_DOWN) {
		*ret_least = g.highest + 1;
		return S3_DONE;
	}
	*ret = list;
	return S3_FAILED;
}

/* ---- the document -------------------------------------------------------- */

static json_t *
describe_object(const struct bucket_stored *s)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:s}",
	    "sop_instance", s->in->sop_instance, "sop_class", s->in->sop_class,
	    "series", s->in->series_uid, "version", (int)s->in->version,
	    "transfer_syntax", s->in->syntax, "key", s->key,
	    "length", (json_int_t)s->length, "sha256", s->sha256);
}

static char *
write_document(const struct bucket_stored *v, size_t n, unsigned number)
{
	char now[32];
	json_t *objects = json_array(), *all;
	char *text;

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(objects, describe_object(&v[i]));
	all = json_pack("{s:i, s:s, s:s, s:i, s:s, s:o}",
	    "causeway_manifest", FORMAT,
	    "gateway", "causeway/" CAUSEWAY_VERSION,
	    "study", v[0].in->study_uid, "number", (int)number,
	    "time", clock_format(clock_wall_ms(), now, sizeof(now)),
	    "objects", objects);
	text = all != NULL ? json_dumps(all, JSON_INDENT(1)) : NULL;
	json_decref(all);
	return text;
}

/* ---- writing ------------------------------------------------------------- */

static bool
fail(struct destination_result *ret, const char *what)
{
	if (ret->health == DESTINATION_UP)
		ret->health = DESTINATION_FAILED;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", what);
	return false;
}

static enum s3_said
put_manifest(struct bucket *b, const struct bucket_stored *v, size_t n,
    unsigned number, struct destination_result *ret)
{
	AUTO_FREE char *key = bucket_manifest_key(b, v[0].in->study_uid, number);
	AUTO_FREE char *text = key != NULL ? write_document(v, n, number) : NULL;

	if (text == NULL) {
		/* A UID that is no UTF-8, or beyond all names. */
		(void)fail(ret, "the manifest of a study cannot be written down");
		return S3_FAILED;
	}
	return s3_put_text(b->s3, key, "application/json", text, strlen(text), true,
	    ret);
}

bool
bucket_write_manifest(struct bucket *b, const struct bucket_stored *v, size_t n,
    struct destination_result *ret)
{
	const char *study = v[0].in->study_uid;
	unsigned least, number;

	if (find_least(b, study, &least, ret) != S3_DONE)
		return false;
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		number = reserve_number(b, study, least);
		switch (put_manifest(b, v, n, number, ret)) {
		case S3_DONE:
			return true;
		case S3_EXISTS:
			break;	/* another gateway's */
		case S3_ABSENT:
		case S3_REFUSED:
		case S3_FAILED:
		case S3_UNREADABLE:
			return_number(b, study, number);
			return ret->health != DESTINATION_UP ? false :
			    fail(ret, "the manifest cannot be written");
		}
	}
	return fail(ret, "no free number for a manifest was found: allow "
	    "s3:ListBucket");
}

/* ---- a study that was only a test ------------------------------------------ */

struct collecting {
	struct numbering numbering;
	char	**keys;
	size_t	  n;
};

static int
collect_name(void *arg, const char *key, uint64_t length)
{
	struct collecting *c = arg;

	(void)length;
	if (number_of(&c->numbering, key) == 0)
		return 0;
	c->keys = xreallocarray(c->keys, c->n + 1, sizeof(*c->keys));
	c->keys[c->n++] = xstrdup(key);
	return c->n == REMOVE_MAX;
}

void
bucket_list_manifests(struct bucket *b, const char *study, char ***ret, size_t *ret_n)
{
	AUTO_FREE char *prefix = bucket_manifest_prefix(b, study);
	AUTO_FREE char *suffix = bucket_manifest_suffix(b, study);
	struct collecting c = { .numbering = { prefix, suffix, 0 } };
	struct destination_result ignored = { .retry_after_ms = -1 };

	(void)s3_list(b->s3, prefix, collect_name, &c, &ignored);
	*ret = c.keys;
	*ret_n = c.n;
}
