/* bucket_deliver.c - instances into a bucket, each with a verdict of its own.
 *
 * A plain one is written on the condition that nothing has its name; what has is
 * read back and compared. Later versions, re-sends to be checked and interrupted
 * replacements are asked for first, and counted by what is read back afterwards
 * (rules 2 to 4). An object that fails does not stop those behind it, until it
 * looks as if none would be taken.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/bucket_int.h"
#include "gateway/destination/stow_int.h"

#define FAILURES_TO_STOP 3	/* in a row */

/* One instance on its way. */
struct object {
	struct destination_item *item;
	char	*key;
	struct instance_file *file;
	uint64_t length;
	char	 sha256[65];
	bool	 stored;
};

struct delivery {
	struct bucket *b;
	struct object *o;
	size_t	 n;
	unsigned failures;	/* in a row */
	struct destination_result failed;	/* of the last that did */
};

static void
free_delivery(struct delivery *d)
{
	for (size_t i = 0; i < d->n; i++) {
		instance_file_close(d->o[i].file);
		free(d->o[i].key);
	}
	free(d->o);
}

/* ---- one object ---------------------------------------------------------- */

static bool
open_object(struct bucket *b, struct object *o)
{
	int r;

	o->key = bucket_key(b, &o->item->in);
	if (o->key == NULL) {
		stow_settle(o->item, DESTINATION_REFUSED, "its name in the bucket "
		    "would be longer than %d bytes: shorten `key` or `prefix`",
		    S3_KEY_MAX);
		return false;
	}
	r = instance_file_open(b->spool, &o->item->in, &o->file);
	if (r == 0)
		r = s3_prepare(b->s3, o->file);
	if (r == 0) {
		o->length = instance_file_length(o->file);
		r = instance_file_sha256(o->file, 0, o->length, o->sha256);
	}
	if (r < 0)
		stow_unreadable(o->item, r);
	return r == 0;
}

static enum s3_said
put_object(struct bucket *b, struct object *o, bool only_new,
    struct destination_result *ret)
{
	const struct http_header headers[] = {
		{ "x-amz-meta-sha256", o->sha256 },
		{ "x-amz-storage-class", b->storage_class },
	};
	const struct s3_object object = {
		.key = o->key,
		.file = o->file,
		.only_new = only_new,
		.headers = headers,
		.n_headers = b->storage_class != NULL ? 2 : 1,
		.urgent = o->item->in.priority == SPOOL_STAT,
		.spool = b->spool,
		.instance = o->item->in.id,
		.destination = b->name,
	};
	char why[256];
	enum s3_said said = s3_put(b->s3, &object, ret, why, sizeof(why));

	if (said == S3_REFUSED)
		stow_settle(o->item, DESTINATION_REFUSED, "%s", why);
	else if (said == S3_UNREADABLE)
		stow_unreadable(o->item, instance_file_error(o->file));
	return said;
}

static enum bucket_found
read_back(struct bucket *b, struct object *o, struct destination_result *ret)
{
	return bucket_read_back(b, o->key, o->length, o->sha256, ret);
}

static void
say_gone(struct object *o)
{
	stow_settle(o->item, DESTINATION_RETRY, "the bucket says that it has it, and "
	    "does not show it");
	o->item->retry_soon = true;
}

static void
replace(struct bucket *b, struct object *o, struct destination_result *ret)
{
	int r;

	/* Durable before the first byte over there is gone (rule 4). */
	r = spool_set_replacing(b->spool, o->item->in.id, b->name);
	if (r < 0) {
		stow_settle(o->item, DESTINATION_RETRY, "the intent to replace it "
		    "could not be recorded: %s", strerror(-r));
		return;
	}
	o->item->in.replacing = true;
	if (put_object(b, o, false, ret) != S3_DONE)
		return;
	switch (read_back(b, o, ret)) {
	case BUCKET_EQUAL:
		o->stored = true;
		break;
	case BUCKET_DIFFERENT:
		stow_settle(o->item, DESTINATION_REFUSED, "the bucket holds other "
		    "bytes under this key and keeps them");
		break;
	case BUCKET_ABSENT:
		say_gone(o);
		break;
	case BUCKET_UNSURE:
		break;
	}
}

static void
resolve(struct bucket *b, struct object *o, struct destination_result *ret)
{
	if (b->replace)
		replace(b, o, ret);
	else
		stow_settle(o->item, DESTINATION_REFUSED, "the bucket holds other "
		    "bytes under this key");
}

/* Something has the name. */
static void
settle_by_reading(struct bucket *b, struct object *o,
    struct destination_result *ret)
{
	switch (read_back(b, o, ret)) {
	case BUCKET_EQUAL:
		o->stored = true;
		break;
	case BUCKET_DIFFERENT:
		resolve(b, o, ret);
		break;
	case BUCKET_ABSENT:
		say_gone(o);
		break;
	case BUCKET_UNSURE:
		break;
	}
}

static void
send_new(struct bucket *b, struct object *o, struct destination_result *ret)
{
	switch (put_object(b, o, true, ret)) {
	case S3_DONE:
		if (o->item->in.version > 1 || o->item->in.replacing)
			settle_by_reading(b, o, ret);
		else
			o->stored = true;
		break;
	case S3_EXISTS:
		settle_by_reading(b, o, ret);
		break;
	case S3_ABSENT:
	case S3_REFUSED:
	case S3_FAILED:
	case S3_UNREADABLE:
		break;
	}
}

static bool
needs_care(const struct spool_instance *in)
{
	return in->version > 1 || in->check || in->replacing;
}

static void
deliver_object(struct bucket *b, struct object *o, struct destination_result *ret)
{
	if (!needs_care(&o->item->in)) {
		send_new(b, o, ret);
		return;
	}
	switch (read_back(b, o, ret)) {
	case BUCKET_EQUAL:
		o->stored = true;
		break;
	case BUCKET_ABSENT:
		send_new(b, o, ret);
		break;
	case BUCKET_DIFFERENT:
		resolve(b, o, ret);
		break;
	case BUCKET_UNSURE:
		break;
	}
}

/* ---- all of them --------------------------------------------------------- */

/* What became of one, for the rest; false: no more of them. */
static bool
note_outcome(struct delivery *d, struct object *o,
    const struct destination_result *one, struct destination_result *ret)
{
	ret->bytes += one->bytes;
	if (one->health == DESTINATION_UP) {
		d->failures = 0;
		return true;
	}
	if (one->health == DESTINATION_FAILED) {
		stow_settle(o->item, DESTINATION_RETRY, "%s", one->reason);
		o->item->retry_soon = true;
		d->failed = *one;
		d->failed.bytes = ret->bytes;
		if (++d->failures < FAILURES_TO_STOP)
			return true;
	}
	ret->health = one->health;
	ret->retry_after_ms = one->retry_after_ms;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", one->reason);
	return false;
}

static size_t
deliver_objects(struct delivery *d, struct destination_result *ret)
{
	size_t stored = 0;
	bool more = true;

	for (size_t i = 0; i < d->n && more; i++) {
		struct destination_result one = { .retry_after_ms = -1 };
		struct object *o = &d->o[i];

		one.health = DESTINATION_UP;
		if (!open_object(d->b, o))
			continue;
		deliver_object(d->b, o, &one);
		instance_file_close(TAKE_PTR(o->file));
		more = note_outcome(d, o, &one, ret);
		stored += o->stored;
	}
	/* Where none was taken it may not be their fault. */
	if (stored == 0 && ret->health == DESTINATION_UP && d->failures > 0)
		*ret = d->failed;
	return stored;
}

/* ---- its manifest -------------------------------------------------------- */

static void
settle_stored(struct delivery *d, const char *study, bool noted,
    const struct destination_result *r)
{
	for (size_t i = 0; i < d->n; i++) {
		struct object *o = &d->o[i];

		if (!o->stored || strcmp(o->item->in.study_uid, study) != 0)
			continue;
		if (noted)
			stow_settle(o->item, DESTINATION_OK, "%s", "");
		else
			stow_settle(o->item, DESTINATION_RETRY, "it is stored, but "
			    "not its manifest: %.120s", r->reason);
	}
}

static bool
note_study(struct delivery *d, const char *study, struct destination_result *r)
{
	AUTO_FREE struct bucket_stored *v = xcalloc(d->n, sizeof(*v));
	size_t n = 0;
	bool noted;

	for (size_t i = 0; i < d->n; i++) {
		const struct object *o = &d->o[i];

		if (o->stored && strcmp(o->item->in.study_uid, study) == 0)
			v[n++] = (struct bucket_stored){ &o->item->in, o->key,
				o->sha256, o->length };
	}
	if (n == 0)
		return true;
	noted = bucket_write_manifest(d->b, v, n, r);
	settle_stored(d, study, noted, r);
	return noted;
}

static bool
seen_before(const struct delivery *d, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (strcmp(d->o[k].item->in.study_uid,
			d->o[i].item->in.study_uid) == 0)
			return true;
	}
	return false;
}

/* Also after a failure: what is there should not have to be read back. */
static void
write_manifests(struct delivery *d, struct destination_result *ret)
{
	for (size_t i = 0; i < d->n; i++) {
		struct destination_result one = { .retry_after_ms = -1 };

		one.health = DESTINATION_UP;
		if (ret->health == DESTINATION_DOWN ||
		    ret->health == DESTINATION_CANCELED)
			return;
		if (seen_before(d, i))
			continue;
		if (note_study(d, d->o[i].item->in.study_uid, &one))
			continue;
		one.bytes += ret->bytes;
		*ret = one;
	}
}

static int
compare_uids(const void *a, const void *b)
{
	const struct destination_item *const *x = a, *const *y = b;

	return strcmp((*x)->in.sop_instance, (*y)->in.sop_instance);
}

/* Rule 3: never two versions of one UID in one request. */
static void
assert_unique(struct destination_item *items, size_t n)
{
	AUTO_FREE struct destination_item **sorted = xcalloc(n,
	    sizeof(struct destination_item *));

	for (size_t i = 0; i < n; i++)
		sorted[i] = &items[i];
	qsort(sorted, n, sizeof(struct destination_item *), compare_uids);
	for (size_t i = 1; i < n; i++)
		assert(compare_uids(&sorted[i - 1], &sorted[i]) != 0);
}

void
bucket_deliver(void *self, struct destination_item *items, size_t n,
    struct destination_result *ret)
{
	AUTO(free_delivery) struct delivery d = { .b = self, .n = n };

	assert_unique(items, n);
	s3_tidy(d.b->s3);
	d.o = xcalloc(n, sizeof(*d.o));
	for (size_t i = 0; i < n; i++)
		d.o[i].item = &items[i];
	if (deliver_objects(&d, ret) > 0)
		write_manifests(&d, ret);
}
