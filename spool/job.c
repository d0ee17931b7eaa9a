/* job.c - what a destination confirms later, and how far an upload has come.
 *
 * A job's text and its end are lines of the settle log before the index relies on
 * them (invariant 4), as is each delivery that it has sent: after a power cut or a
 * lost index the destination finds its jobs as they were, and asks. What is sent
 * has not left `owed` (invariant 5): no call here lets go of anything.
 *
 * Ids are the spool's: never given out twice, so that a line about an old job is
 * never taken for one about a new one. A note is in the index alone.
 */
#include <errno.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "spool/spool_int.h"

#define NAME_MAX_BYTES 255	/* of a destination, in the settle log */

struct job_op {
	uint64_t    id;
	const char *destination;
	const char *text;
	uint64_t    owed;	/* again */
	int	    result;
};

/* What the log would have to escape or cut is no text of ours. */
static int
check_text(const char *text)
{
	if (strlen(text) > SPOOL_JOB_TEXT_MAX)
		return -E2BIG;
	for (const char *p = text; *p != '\0'; p++) {
		if (*p < 0x20 || *p > 0x7e)
			return -EINVAL;
	}
	return 0;
}

static int
log_job(struct spool *sp, enum settle_verb verb, uint64_t id, const char *dest,
    const char *text, int64_t wall_ms)
{
	struct settle_entry e = { .verb = verb, .wall_ms = wall_ms, .id = id,
		.destination = dest, .study = "", .actor = "", .reason = text };

	return settle_append(sp->log, &e);
}

static int
apply_job_new(struct spool *sp, void *arg)
{
	const struct job_op *op = arg;
	int64_t wall_ms = clock_wall_ms();
	int r;

	r = index_job_set(sp->ix, op->id, op->destination, op->text, wall_ms);
	return r < 0 ? r : log_job(sp, SETTLE_JOB, op->id, op->destination,
	    op->text, wall_ms);
}

int
spool_job_new(struct spool *sp, const char *destination, const char *text,
    uint64_t *ret_id)
{
	struct job_op op = { .destination = destination, .text = text };
	size_t len = strlen(destination);
	int r = len == 0 || len > NAME_MAX_BYTES ? -EINVAL : check_text(text);

	if (r < 0)
		return r;
	if (atomic_load(&sp->rebuilding))
		return -EAGAIN;
	r = store_next_id(sp->store, &op.id);
	if (r == 0)
		r = commit_run(sp, apply_job_new, &op, 0);
	if (r == 0)
		*ret_id = op.id;
	return r;
}

static int
apply_job_set(struct spool *sp, void *arg)
{
	struct job_op *op = arg;
	struct buf dest = BUF_INIT(NAME_MAX_BYTES);
	int64_t wall_ms = clock_wall_ms();
	int r;

	r = index_job_destination(sp->ix, op->id, &dest);
	op->result = r == -ENOENT ? r : 0;
	if (r == 0)
		r = index_job_set(sp->ix, op->id, dest.data, op->text, wall_ms);
	if (r == 0)
		r = log_job(sp, SETTLE_JOB, op->id, dest.data, op->text,
		    wall_ms);
	buf_free(&dest);
	return op->result < 0 ? 0 : r;
}

int
spool_job_set(struct spool *sp, uint64_t id, const char *text)
{
	struct job_op op = { .id = id, .text = text };
	int r = check_text(text);

	if (r < 0)
		return r;
	if (atomic_load(&sp->rebuilding))
		return -EAGAIN;
	r = commit_run(sp, apply_job_set, &op, 0);
	return r < 0 ? r : op.result;
}

/* One line says it of all that it has sent. */
static int
apply_job_end(struct spool *sp, void *arg)
{
	struct job_op *op = arg;
	int64_t wall_ms = clock_wall_ms();
	int r = index_job_end(sp->ix, op->id, wall_ms, &op->owed);

	op->result = r == -ENOENT ? r : 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return log_job(sp, SETTLE_JOB_ENDED, op->id, "", "", wall_ms);
}

int
spool_job_end(struct spool *sp, uint64_t id)
{
	struct job_op op = { .id = id };
	int r;

	if (atomic_load(&sp->rebuilding))
		return -EAGAIN;
	r = commit_run(sp, apply_job_end, &op, 0);
	if (r < 0 || op.result < 0)
		return r < 0 ? r : op.result;
	if (op.owed > 0)
		spool_wake(sp);
	return 0;
}

/* Half of the jobs would look as if the others were over. */
int
spool_jobs(struct spool *sp, const char *destination, spool_job_fn *fn, void *arg)
{
	struct index_reader *ir;
	int r;

	if (atomic_load(&sp->rebuilding))
		return -EAGAIN;
	ir = spool_reader_take(sp, &r);
	if (ir == NULL)
		return r;
	r = index_reader_jobs(ir, destination, fn, arg);
	spool_reader_give(sp, ir);
	return spool_trust(sp, r);
}

int
spool_job_sent(struct spool *sp, uint64_t id, uint64_t after, size_t limit,
    spool_instance_fn *fn, void *arg)
{
	struct index_reader *ir;
	int r;

	if (atomic_load(&sp->rebuilding))
		return -EAGAIN;
	ir = spool_reader_take(sp, &r);
	if (ir == NULL)
		return r;
	r = index_reader_job_sent(ir, id, after, limit, fn, arg);
	spool_reader_give(sp, ir);
	return spool_trust(sp, r);
}

/* ---- notes ---- */

static int
apply_note(struct spool *sp, void *arg)
{
	struct job_op *op = arg;
	int r = index_note_set(sp->ix, op->id, op->destination, op->text);

	op->result = r == -ENOENT ? r : 0;
	return op->result < 0 ? 0 : r;
}

int
spool_note_set(struct spool *sp, uint64_t id, const char *destination,
    const char *text)
{
	struct job_op op = { .id = id, .destination = destination, .text = text };
	int r;

	if (text != NULL && strlen(text) > SPOOL_NOTE_MAX)
		return -E2BIG;
	r = commit_run(sp, apply_note, &op, COMMIT_DURABLE);
	return r < 0 ? r : op.result;
}

int
spool_note_get(struct spool *sp, uint64_t id, const char *destination,
    struct buf *ret)
{
	struct index_reader *ir;
	int r;

	ir = spool_reader_take(sp, &r);
	if (ir == NULL)
		return r;
	r = index_reader_note(ir, id, destination, ret);
	spool_reader_give(sp, ir);
	return spool_trust(sp, r);
}
