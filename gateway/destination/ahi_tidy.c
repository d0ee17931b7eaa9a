/* ahi_tidy.c - deleting: the files of an import that is settled, and before it
 * starts those that nobody has recorded. And what tend() shows of itself.
 *
 * A file that was put without a record of it would be imported by this job, while
 * its instance is owed and goes with another: harmless by itself, but a later
 * version of it could be overtaken. So it is taken out first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_job_int.h"

#define KEYS_AT_ONCE	2000
#define ROUNDS		8	/* then it lists what it has deleted */
#define STILL_THERE	"the bucket still lists what it has deleted"
#define CLEAN_MOST_MS	(60 * 60 * 1000)

/* ---- keys ---------------------------------------------------------------- */

struct keys {
	const struct ahi_job *job;
	const struct ahi_outcomes *but;	/* not these; NULL: all */
	char **v;
	size_t n;
};

static void
free_keys(struct keys *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->v[i]);
	free(k->v);
}

static bool
is_sent(const struct ahi_outcomes *o, const char *name)
{
	for (size_t i = 0; i < o->n; i++) {
		if (strcmp(o->v[i].file, name) == 0)
			return true;
	}
	return false;
}

static int
take_key(void *arg, const char *key, uint64_t length)
{
	struct keys *k = arg;
	size_t n = strlen(k->job->prefix);

	(void)length;
	/* Whatever the answer lists: nothing outside of our own prefix. */
	if (strncmp(key, k->job->prefix, n) != 0 ||
	    (k->but != NULL && is_sent(k->but, key + n)))
		return 0;
	if (k->n % 256 == 0)
		k->v = xreallocarray(k->v, k->n + 256, sizeof(char *));
	k->v[k->n++] = xstrdup(key);
	return k->n == KEYS_AT_ONCE;
}

/* *ret_more: there may be others. */
static enum s3_said
delete_files(struct ahi *a, const struct ahi_job *j, const struct ahi_outcomes *but,
    bool *ret_more, struct destination_result *ret)
{
	AUTO(free_keys) struct keys k = { .job = j, .but = but };
	enum s3_said said = s3_list(a->in, j->prefix, take_key, &k, ret);

	*ret_more = k.n == KEYS_AT_ONCE;
	if (said == S3_DONE && k.n > 0)
		said = s3_delete(a->in, (const char *const *)k.v, k.n, ret);
	return said;
}

/* ---- before it starts ---------------------------------------------------- */

static void
free_outcomes(struct ahi_outcomes *o)
{
	free(o->v);
}

bool
ahi_tidy(struct ahi_tending *t, struct ahi_job *j)
{
	AUTO(free_outcomes) struct ahi_outcomes sent = { .n = 0 };
	bool more = true;
	int r = ahi_collect_sent(t->a, j, &sent);

	for (unsigned i = 0; r == 0 && more && i < ROUNDS &&
	    !atomic_load(&t->a->canceled); i++) {
		if (delete_files(t->a, j, &sent, &more, t->ret) != S3_DONE)
			r = -EAGAIN;
	}
	if (r == 0 && more && !atomic_load(&t->a->canceled)) {
		t->ret->health = DESTINATION_FAILED;
		(void)snprintf(t->ret->reason, sizeof(t->ret->reason), STILL_THERE);
	}
	if (r < 0 || more) {
		ahi_come_again(t, j, CLEAN_MOST_MS);
		return false;
	}
	LOCK_SCOPE(&t->a->mu);
	j->dirty = false;
	return true;
}

/* ---- when all is settled ------------------------------------------------- */

static void
show_litter(struct ahi *a, const char *why)
{
	LOCK_SCOPE(&a->mu);
	(void)snprintf(a->litter, sizeof(a->litter), "%s", why);
}

static bool
clean_prefix(struct ahi_tending *t, struct ahi_job *j)
{
	struct destination_result local = { .health = DESTINATION_UP };
	bool more = true;

	if (t->a->opt->keep_input)
		return true;
	for (unsigned i = 0; more && i < ROUNDS && !atomic_load(&t->a->canceled);
	    i++) {
		if (delete_files(t->a, j, NULL, &more, &local) == S3_DONE)
			continue;
		/* Images are not the worse for it. */
		show_litter(t->a, local.reason);
		return false;
	}
	if (!atomic_load(&t->a->canceled))
		show_litter(t->a, more ? STILL_THERE : "");
	return !more;
}

void
ahi_clean(struct ahi_tending *t, struct ahi_job *j)
{
	int r;

	if (t->now_ms < j->due_ms)
		return;
	r = clean_prefix(t, j) ? spool_job_end(t->a->spool, j->id) : -EAGAIN;
	if (r < 0 && r != -ENOENT) {
		ahi_come_again(t, j, CLEAN_MOST_MS);
		return;
	}
	(void)pthread_mutex_lock(&t->a->mu);
	TAILQ_REMOVE(&t->a->jobs, j, link);
	(void)pthread_mutex_unlock(&t->a->mu);
	ahi_job_free(j);
}

/* ---- what people see ----------------------------------------------------- */

struct summary {
	unsigned running, ended, cleaning;
	uint64_t sent;
	const struct ahi_job *oldest;	/* that runs */
	const char *waits, *trouble;	/* of one that does not get on; NULL */
};

static void
sum_up(const struct ahi *a, struct summary *s)
{
	const struct ahi_job *j;

	TAILQ_FOREACH(j, &a->jobs, link) {
		s->sent += j->sent;
		if (j->trouble[0] != '\0' && j->alarming)
			s->trouble = j->trouble;
		else if (j->trouble[0] != '\0')
			s->waits = j->trouble;
		if (j->phase == AHI_CLEANING)
			s->cleaning++;
		if (j->phase == AHI_RESULTS)
			s->ended++;
		if (j->phase != AHI_RUNNING)
			continue;
		s->running++;
		if (s->oldest == NULL || j->since_ms < s->oldest->since_ms)
			s->oldest = j;
	}
}

static void
add_part(struct buf *b, const char *s)
{
	if (b->len > 0)
		(void)buf_add_str(b, "; ");
	(void)buf_add_str(b, s);
}

/* "10:04", or with its day when that was another one. */
static void
add_time(struct buf *b, int64_t wall_ms)
{
	char then[32], now[32];

	(void)clock_format(wall_ms, then, sizeof(then));
	(void)clock_format(clock_wall_ms(), now, sizeof(now));
	if (strncmp(then, now, 10) != 0)
		(void)buf_printf(b, "%.10s ", then);
	(void)buf_printf(b, "%.5s", then + 11);
}

static void
describe_running(const struct summary *s, struct buf *b)
{
	add_part(b, "");
	(void)buf_printf(b, "%u import%s run%s, the oldest since ", s->running,
	    s->running == 1 ? "" : "s", s->running == 1 ? "s" : "");
	add_time(b, s->oldest->since_ms);
}

static void
describe_work(const struct ahi *a, const struct summary *s, struct buf *b)
{
	if (s->running > 0)
		describe_running(s, b);
	if (s->ended > 0) {
		add_part(b, "");
		(void)buf_printf(b, "%u import%s ended, and %s lists are read or "
		    "waited for", s->ended, s->ended == 1 ? " has" : "s have",
		    s->ended == 1 ? "its" : "their");
	}
	if (s->sent > 0) {
		add_part(b, "");
		(void)buf_printf(b, "%" PRIu64 " image%s for %s confirmation", s->sent,
		    s->sent == 1 ? " waits" : "s wait", s->sent == 1 ? "its" : "their");
	}
	if (a->batch_files < a->opt->batch_files) {
		add_part(b, "");
		(void)buf_printf(b, "as imports failed, no more than %u file%s into "
		    "one", a->batch_files, a->batch_files == 1 ? " goes" : "s go");
	}
	if (s->waits != NULL)
		add_part(b, s->waits);
	if (a->bad_lines > 0) {
		add_part(b, "");
		(void)buf_printf(b, "%" PRIu64 " line%s of results could not be read",
		    a->bad_lines, a->bad_lines == 1 ? "" : "s");
	}
}

static bool
is_overdue(const struct ahi *a, const struct ahi_job *j)
{
	return j != NULL && clock_wall_ms() - j->since_ms >=
	    (int64_t)a->opt->job_patience_ms;
}

void
ahi_describe(void *self, struct buf *words, struct buf *alarm)
{
	struct ahi *a = self;
	struct summary s = { .running = 0 };

	LOCK_SCOPE(&a->mu);
	sum_up(a, &s);
	describe_work(a, &s, words);
	if (a->fault[0] != '\0')
		add_part(alarm, a->fault);
	if (a->failed[0] != '\0')
		add_part(alarm, a->failed);
	if (s.trouble != NULL && strcmp(s.trouble, a->fault) != 0 &&
	    strcmp(s.trouble, a->failed) != 0)
		add_part(alarm, s.trouble);
	if (is_overdue(a, s.oldest)) {
		add_part(alarm, "");
		(void)buf_printf(alarm, "import %s does not end: look at it in the "
		    "console of HealthImaging, or ask AWS", s.oldest->job);
	}
	if (s.cleaning > 0 && a->litter[0] != '\0') {
		add_part(alarm, "imported files cannot be deleted: ");
		(void)buf_add_str(alarm, a->litter);
	}
}
