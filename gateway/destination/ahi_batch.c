/* ahi_batch.c - files into batches: deliver() of mode import.
 *
 * A batch is a prefix that nobody used before and nobody will use again, and a job
 * of the spool that is durable before the first file is put there. Who puts files
 * joins it, and has made them "sent" by its job before he leaves; it can only be
 * closed when nobody is inside. So no batch is imported that holds less than what
 * its job has sent.
 *
 * An object that goes up in parts has a batch of its own: after a restart small
 * batches are closed as they are, but that one stays open for the very instance, so
 * that its upload goes on under the same key.
 *
 * Rule 3: the spool lets no later version out while an earlier is sent. Should one
 * come nevertheless, it goes into another batch.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/destination/ahi_int.h"
#include "gateway/dicom/part10.h"

/* Some of a call's items in one batch. */
struct visit {
	struct ahi		*a;
	struct ahi_job		*job;
	struct destination_item **items;
	bool			*stored;
	size_t			 n;
	struct destination_result *ret;
};

static uint64_t
file_bytes(const struct spool_instance *in)
{
	return in->length + DICOM_PART10_MAX;
}

static bool
goes_in_parts(const struct ahi *a, const struct spool_instance *in)
{
	return file_bytes(in) >= a->opt->part_size;
}

static uint64_t
hash_uid(const struct spool_instance *in)
{
	return hash_seal(in->sop_instance, strlen(in->sop_instance), 0);
}

/* ---- joining ------------------------------------------------------------- */

static bool
holds_other_version(const struct ahi_job *j, const struct spool_instance *in)
{
	uint64_t uid = hash_uid(in);

	for (size_t i = 0; i < j->n_held; i++) {
		if (j->held[i].uid == uid && j->held[i].id != in->id)
			return true;
	}
	return false;
}

static bool
has_room(const struct ahi *a, const struct ahi_job *j,
    const struct spool_instance *in)
{
	if (j->only != 0)
		return j->putting == 0;
	return j->files < a->batch_files &&
	    j->bytes + file_bytes(in) <= a->opt->batch_bytes &&
	    !holds_other_version(j, in);
}

/* Under a->mu. What a batch has no room for closes it. */
static struct ahi_job *
find_open(struct ahi *a, const struct spool_instance *in)
{
	uint64_t only = goes_in_parts(a, in) ? in->id : 0;
	struct ahi_job *j;

	TAILQ_FOREACH(j, &a->jobs, link) {
		if (j->phase != AHI_OPEN || j->full || j->only != only)
			continue;
		if (has_room(a, j, in))
			return j;
		j->full = true;
	}
	return NULL;
}

static void
reserve(struct ahi_job *j, const struct spool_instance *in)
{
	if (j->n_held % 256 == 0)
		j->held = xreallocarray(j->held, j->n_held + 256,
		    sizeof(*j->held));
	j->held[j->n_held++] = (struct ahi_held){ hash_uid(in), in->id };
	j->files++;
	j->bytes += file_bytes(in);
	j->urgent = j->urgent || in->priority == SPOOL_STAT;
}

/* Without a->mu, which is taken again. */
static int
open_batch(struct ahi *a, const struct spool_instance *in)
{
	struct ahi_job *j;
	int r;

	a->opening = true;
	(void)pthread_mutex_unlock(&a->mu);
	r = ahi_job_make(a, goes_in_parts(a, in) ? in->id : 0, &j);
	(void)pthread_mutex_lock(&a->mu);
	a->opening = false;
	(void)pthread_cond_broadcast(&a->opened);
	if (r == 0)
		TAILQ_INSERT_TAIL(&a->jobs, j, link);
	return r;
}

/* The first of the items, and as many more as go into the same batch. */
static int
join(struct visit *v, struct destination_item **items, size_t n)
{
	struct ahi *a = v->a;
	struct ahi_job *j;
	int r;

	LOCK_SCOPE(&a->mu);
	while ((j = find_open(a, &items[0]->in)) == NULL) {
		if (atomic_load(&a->canceled))
			return -ECANCELED;
		if (a->opening) {
			(void)pthread_cond_wait(&a->opened, &a->mu);
			continue;
		}
		r = open_batch(a, &items[0]->in);
		if (r < 0)
			return r;
	}
	v->job = j;
	v->items = items;
	j->putting++;
	do {
		reserve(j, &items[v->n++]->in);
	} while (v->n < n && j->only == 0 && !goes_in_parts(a, &items[v->n]->in) &&
	    has_room(a, j, &items[v->n]->in));
	return 0;
}

static void
unreserve(struct ahi_job *j, const struct spool_instance *in)
{
	j->files--;
	j->bytes -= file_bytes(in);
	for (size_t i = 0; i < j->n_held; i++) {
		if (j->held[i].id == in->id) {
			j->held[i] = j->held[--j->n_held];
			return;
		}
	}
}

static void
leave(struct visit *v)
{
	struct ahi_job *j = v->job;
	LOCK_SCOPE(&v->a->mu);

	for (size_t i = 0; i < v->n; i++) {
		if (v->items[i]->verdict == DESTINATION_SENT)
			j->sent++;
		else
			unreserve(j, &v->items[i]->in);
	}
	j->putting--;
	/* It waited for this one. */
	if (j->only != 0 && j->sent > 0)
		j->full = true;
}

/* ---- putting ------------------------------------------------------------- */

static void
make_dirty(struct visit *v)
{
	LOCK_SCOPE(&v->a->mu);
	v->job->dirty = true;
}

/* True: it lies there. */
static bool
put_file(struct visit *v, struct destination_item *item,
    struct instance_file *file)
{
	char key[AHI_KEY_SIZE], why[200] = "";
	const struct s3_object o = {
		.key = key,
		.file = file,
		.urgent = item->in.priority == SPOOL_STAT,
		.spool = v->a->spool,
		.instance = item->in.id,
		.destination = v->a->name,
	};

	ahi_key(v->job, &item->in, key);
	switch (s3_put(v->a->in, &o, v->ret, why, sizeof(why))) {
	case S3_DONE:
		return true;
	case S3_REFUSED:
		stow_settle(item, DESTINATION_REFUSED, "S3 refused it: %s", why);
		break;
	case S3_UNREADABLE:
		stow_unreadable(item, instance_file_error(file));
		break;
	case S3_EXISTS:
	case S3_ABSENT:
	case S3_FAILED:
		/* It may have arrived all the same. */
		make_dirty(v);
		break;
	}
	return false;
}

static bool
put_item(struct visit *v, struct destination_item *item)
{
	AUTO(cleanup_instance_file_close) struct instance_file *file = NULL;
	int r = instance_file_open(v->a->spool, &item->in, &file);

	if (r < 0) {
		stow_unreadable(item, r);
		return false;
	}
	return put_file(v, item, file);
}

/* What lies there becomes sent, all at once, before anybody may close the batch. */
static void
record_sent(struct visit *v)
{
	AUTO_FREE struct spool_verdict *verdicts = xcalloc(v->n, sizeof(*verdicts));
	size_t n = 0;
	int r;

	for (size_t i = 0; i < v->n; i++) {
		if (v->stored[i])
			verdicts[n++] = (struct spool_verdict){
				.id = v->items[i]->in.id,
				.destination = v->a->name,
				.state = SPOOL_SENT,
				.job = v->job->id,
			};
	}
	if (n == 0)
		return;
	r = spool_settle(v->a->spool, verdicts, n);
	for (size_t i = 0; i < v->n && r == 0; i++) {
		if (v->stored[i])
			stow_settle(v->items[i], DESTINATION_SENT, "%s", "");
	}
	if (r == 0)
		return;
	make_dirty(v);
	v->ret->health = DESTINATION_BUSY;
	v->ret->retry_after_ms = 5000;
	(void)snprintf(v->ret->reason, sizeof(v->ret->reason), "what was sent cannot "
	    "be recorded in the spool: %s", strerror(-r));
}

static size_t
import_some(struct ahi *a, struct destination_item **items, size_t n,
    struct destination_result *ret)
{
	AUTO_FREE bool *stored = xcalloc(n, sizeof(*stored));
	struct visit v = { .a = a, .stored = stored, .ret = ret };
	int r = join(&v, items, n);

	if (r < 0) {
		ret->health = r == -ECANCELED ? DESTINATION_CANCELED :
		    DESTINATION_BUSY;
		ret->retry_after_ms = 5000;
		(void)snprintf(ret->reason, sizeof(ret->reason), "no import can be "
		    "recorded in the spool now: %s", strerror(-r));
		return 0;
	}
	for (size_t i = 0; i < v.n && ret->health == DESTINATION_UP; i++)
		stored[i] = put_item(&v, v.items[i]);
	record_sent(&v);
	leave(&v);
	return v.n;
}

/* Where it cannot be asked, importing again does no harm: the same bytes become the
 * same instance. */
void
ahi_import(struct ahi *a, struct destination_item **items, size_t n,
    struct destination_result *ret)
{
	struct destination_result asked = { .health = DESTINATION_UP };
	size_t done = 0;
	int r = ahi_recover(a);

	if (r < 0) {
		ret->health = r == -ECANCELED ? DESTINATION_CANCELED :
		    DESTINATION_BUSY;
		ret->retry_after_ms = 5000;
		(void)snprintf(ret->reason, sizeof(ret->reason), "the imports that "
		    "run are not known yet: %s", strerror(-r));
		return;
	}
	n = ahi_ask_first(a, items, n, &asked);
	while (done < n && ret->health == DESTINATION_UP)
		done += import_some(a, items + done, n - done, ret);
}
