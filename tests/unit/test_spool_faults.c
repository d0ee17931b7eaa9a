/* test_spool_faults.c - the whole life of a spool on a disk that fails.
 *
 * A life: small and large objects, the same bytes again, other bytes, routing,
 * verdicts, jobs and what they send, commands, sweeping, compaction, pruning, a
 * restart, a lost index. It is
 * lived again and again, each time with another call of the disk failing once or
 * from then on, or with the power going; then the spool is opened on a good disk.
 * What was acknowledged must be there bit for bit and owed, or have ended as it was
 * acknowledged to have ended. The index's own writes pass through the same disk.
 *
 * CAUSEWAY_TEST_EVERY=1 takes every call instead of a sample, CAUSEWAY_TEST_SEED
 * another sample.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/unit/faulty_disk.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "spool/put_int.h"
#include "spool/spool_int.h"

#include "tests/unit/spool_fixture.h"

#define SEGMENT_BYTES 65536
#define LARGE	      30000	/* more than a segment of this size takes */

/* ---- SQLite on the same disk ---- */

int fsync(int fd);
int fdatasync(int fd);

int
fsync(int fd)
{
	return disk_fdatasync(fd);
}

int
fdatasync(int fd)
{
	return disk_fdatasync(fd);
}

static ssize_t
index_pwrite(int fd, const void *data, size_t len, off_t at)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };

	return disk_pwritev(fd, &iov, 1, at);
}

static int
index_unlink(const char *path)
{
	return disk_unlinkat(AT_FDCWD, path, 0);
}

static void
set_index_disk(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix");

#define CALL(name, fn) \
	(void)vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)(fn))
	CALL("pwrite", index_pwrite);
	CALL("pwrite64", index_pwrite);
	CALL("ftruncate", disk_ftruncate);
	CALL("unlink", index_unlink);
#undef CALL
}

/* ---- what was acknowledged ---- */

#define BIT(state) (1u << (state))
#define ENDED (BIT(SPOOL_DELIVERED) | BIT(SPOOL_WARNED) | BIT(SPOOL_LET_GO))

struct want {
	char	 sop[48], study[16];
	size_t	 pixels;
	uint8_t	 fill;
	uint64_t id;		/* 0: not acknowledged */
	unsigned version;
	unsigned may;		/* states that it may be in */
	bool	 gone;		/* its bytes may have been swept once it ended */
	bool	 must_be_gone;
	bool	 must_be_new;	/* has a delivery to "new" as well */
	uint64_t job;		/* that has sent it, or tried */
};

struct job {
	uint64_t id;		/* 0: not acknowledged */
	const char *text, *tried;	/* acknowledged, and what may be instead */
	bool	 ending, ended;
};

#define WANTS 64
#define JOBS  2
struct life {
	char	 dir[64];
	const char *dest;	/* where routing sends what is pending */
	struct spool *sp;
	struct want want[WANTS];
	size_t	 n;
	struct job job[JOBS];
};

static struct want *
find_want(struct life *l, uint64_t id)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->want[i].id == id)
			return &l->want[i];
	}
	return NULL;
}

static bool
open_life(struct life *l)
{
	struct spool_options o = { .directory = l->dir, .reserve = 1 << 20,
		.keep_delivered_ms = 86400000, .keep_index_ms = 86400000 };
	struct buf why = BUF_INIT(4096);
	int r = spool_open(&o, &l->sp, &why);

	buf_free(&why);
	return r == 0;
}

/* From here on the test is the keeper, so that one life is like the other. */
static bool
begin(struct life *l)
{
	if (!open_life(l))
		return false;
	keeper_stop(l->sp);
	l->sp->keep.stop = false;
	l->sp->patience_ms = 0;
	l->dest = "cloud";
	for (unsigned i = 0; i < 100 && l->sp->rebuilding; i++)
		(void)adopt_continue(l->sp);
	return true;
}

/* Another put of the same bytes may have taken effect without a word. */
static void
note_unanswered(struct life *l, const char *sop)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->want[i].sop, sop) == 0)
			l->want[i].may |= BIT(SPOOL_OWED);
	}
}

static void
put(struct life *l, const char *study, const char *sop, size_t pixels, uint8_t fill)
{
	struct spool_receipt rec = { 0 };
	struct buf obj = BUF_INIT(1 << 20);
	struct want *w;
	int r;

	(void)keeper_tend(l->sp);
	make_object(&obj, study, sop, pixels, fill);
	r = store_as(l->sp, DICOM_UID_EXPLICIT_LE, sop, &obj, &rec);
	buf_free(&obj);
	if (r < 0) {
		note_unanswered(l, sop);
		return;
	}
	w = find_want(l, rec.id);
	if (w != NULL) {
		assert_true(rec.outcome == SPOOL_SAME ||
		    rec.outcome == SPOOL_OWED_AGAIN);
		if (rec.outcome == SPOOL_OWED_AGAIN)
			w->may = BIT(SPOOL_OWED);
		return;
	}
	assert_true(l->n < WANTS);
	w = &l->want[l->n++];
	*w = (struct want){ .pixels = pixels, .fill = fill, .id = rec.id,
		.version = rec.version, .may = BIT(SPOOL_OWED) };
	(void)snprintf(w->sop, sizeof(w->sop), "%s", sop);
	(void)snprintf(w->study, sizeof(w->study), "%s", study);
}

static int
take_study(void *arg, const struct spool_study *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

static uint64_t
study_id(struct life *l, const char *uid)
{
	struct spool_filter f = { .uid = uid, .state = -1 };
	uint64_t id = 0;

	(void)spool_studies(l->sp, &f, take_study, &id);
	return id;
}

static int
route_one(void *arg, const struct spool_instance *in)
{
	struct life *l = arg;
	struct spool_routing r = { in->id, &l->dest, 1 };

	return spool_route(l->sp, &r, 1);
}

static int
route(struct life *l, const char *study)
{
	uint64_t id = study_id(l, study);

	return id == 0 ? 0 : spool_pending(l->sp, id, 0, route_one, l);
}

#define ELSEWHERE 99

static int
see_delivery(void *arg, const struct spool_delivery_row *row)
{
	if (strcmp(row->destination, "new") == 0)
		return 0;
	if (strcmp(row->destination, "elsewhere") == 0)
		*(int *)arg = ELSEWHERE;
	else if (row->destination[0] != '\0' || *(int *)arg < 0)
		*(int *)arg = (int)row->state;
	return 0;
}

/* At the cloud, else nowhere; -1: none. */
static int
see_state(struct life *l, uint64_t id)
{
	int state = -1;

	return spool_deliveries(l->sp, id, see_delivery, &state) < 0 ? -1 : state;
}

/* Not what its routing did not come to: that is pending. */
static void
settle(struct life *l, size_t i, enum spool_delivery state)
{
	struct spool_verdict v = { .id = 0, .destination = "cloud",
		.state = state, .reason = "because" };

	if (i >= l->n || see_state(l, l->want[i].id) != SPOOL_OWED)
		return;
	v.id = l->want[i].id;
	if (spool_settle(l->sp, &v, 1) < 0)
		l->want[i].may |= BIT(state);
	else
		l->want[i].may = BIT(state);
}

/* ---- jobs ---- */

static struct want *
want_of(struct life *l, const char *sop)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->want[i].sop, sop) == 0)
			return &l->want[i];
	}
	return NULL;
}

static void
job_new(struct life *l, size_t j, const char *text)
{
	if (spool_job_new(l->sp, "cloud", text, &l->job[j].id) < 0)
		l->job[j].id = 0;
	l->job[j].text = l->job[j].tried = text;
}

static void
job_set(struct life *l, size_t j, const char *text)
{
	struct job *job = &l->job[j];

	if (job->id == 0)
		return;
	job->tried = text;
	if (spool_job_set(l->sp, job->id, text) == 0)
		job->text = text;
}

/* By a job: what it has sent; sent: what is owed. */
static void
answer(struct life *l, size_t j, const char *sop, enum spool_delivery state)
{
	struct want *w = want_of(l, sop);
	struct spool_verdict v = { .destination = "cloud", .state = state,
		.reason = "because", .remote = sop, .job = l->job[j].id };

	if (w == NULL || v.job == 0 || see_state(l, w->id) !=
	    (state == SPOOL_SENT ? SPOOL_OWED : SPOOL_SENT))
		return;
	v.id = w->id;
	if (state == SPOOL_SENT)
		w->job = v.job;
	if (spool_settle(l->sp, &v, 1) < 0)
		w->may |= BIT(state);
	else if (w->job == v.job)
		w->may = BIT(state);
}

static void
job_end(struct life *l, size_t j)
{
	struct job *job = &l->job[j];
	int r;

	if (job->id == 0)
		return;
	job->ending = true;
	r = spool_job_end(l->sp, job->id);
	job->ended = r == 0;
	for (size_t i = 0; i < l->n; i++) {
		struct want *w = &l->want[i];

		if (w->job != job->id || (w->may & BIT(SPOOL_SENT)) == 0)
			continue;
		w->may |= BIT(SPOOL_OWED);
		if (r == 0)
			w->may &= ~BIT(SPOOL_SENT);
	}
}

static void
accept(struct life *l, const char *sop)
{
	struct want *w = want_of(l, sop);
	struct spool_command c = { .verb = SPOOL_ACCEPT, .actor = "alice",
		.study = study_id(l, "1.5"), .destination = "cloud" };
	uint64_t n = 0;
	int r;

	if (w == NULL || c.study == 0 || see_state(l, w->id) != SPOOL_REFUSED)
		return;
	r = spool_command(l->sp, &c, &n);
	if (r == -EAGAIN)
		return;
	w->may |= BIT(SPOOL_WARNED);
	if (r == 0) {
		assert_int_equal(n, 1);
		w->may = BIT(SPOOL_WARNED);
	}
}

static void
resend_to_new(struct life *l, const char *study)
{
	struct spool_command c = { .verb = SPOOL_RESEND, .actor = "alice",
		.study = study_id(l, study), .destination = "new" };
	uint64_t n = 0;

	if (c.study == 0 || spool_command(l->sp, &c, &n) < 0)
		return;
	for (size_t i = 0; i < l->n; i++)
		l->want[i].must_be_new |= strcmp(l->want[i].study, study) == 0 &&
		    see_state(l, l->want[i].id) >= 0;
}

static void
send_some(struct life *l)
{
	char sop[48];

	for (unsigned i = 0; i < 7; i++) {
		(void)snprintf(sop, sizeof(sop), "1.5.%u", i);
		put(l, "1.5", sop, i == 3 ? LARGE : 4000, (uint8_t)(100 + i));
	}
	(void)route(l, "1.5");
	job_new(l, 0, "{\"phase\":1}");
	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(sop, sizeof(sop), "1.5.%u", i);
		answer(l, 0, sop, SPOOL_SENT);
	}
	job_set(l, 0, "{\"phase\":2}");
	answer(l, 0, "1.5.0", SPOOL_DELIVERED);
	answer(l, 0, "1.5.1", SPOOL_REFUSED);
	answer(l, 0, "1.5.4", SPOOL_OWED);
	if (want_of(l, "1.5.5") != NULL)
		(void)spool_note_set(l->sp, want_of(l, "1.5.5")->id, "cloud",
		    "part 1 of 2");
}

static void
send_more(struct life *l)
{
	answer(l, 0, "1.5.2", SPOOL_WARNED);
	job_new(l, 1, "{\"phase\":3}");
	answer(l, 1, "1.5.4", SPOOL_SENT);
	answer(l, 1, "1.5.5", SPOOL_SENT);
	accept(l, "1.5.1");
	job_end(l, 0);
	answer(l, 0, "1.5.4", SPOOL_REFUSED);	/* too late for that */
	resend_to_new(l, "1.5");
}

static void
command(struct life *l, const char *study, enum spool_verb verb)
{
	struct spool_command c = { .verb = verb, .actor = "alice",
		.study = study_id(l, study) };
	uint64_t n;
	int r;

	if (c.study == 0)
		return;
	r = spool_command(l->sp, &c, &n);
	if (r == -EAGAIN)
		return;
	for (size_t i = 0; i < l->n; i++) {
		struct want *w = &l->want[i];

		if (strcmp(w->study, study) != 0)
			continue;
		w->may |= BIT(SPOOL_LET_GO);
		w->gone |= verb == SPOOL_PURGE;
		if (r == 0) {
			w->may &= ~(BIT(SPOOL_OWED) | BIT(SPOOL_REFUSED));
			w->must_be_gone |= verb == SPOOL_PURGE;
		}
	}
}

static void
sweep(struct life *l)
{
	struct spool_options o = { .reserve = 1 << 20, .keep_delivered_ms = -5000,
		.keep_index_ms = 86400000 };

	for (size_t i = 0; i < l->n; i++)
		l->want[i].gone |= (l->want[i].may & ENDED) != 0;
	spool_configure(l->sp, &o);
	l->sp->keep.next_barrier_ms = l->sp->keep.next_sweep_ms = 0;
	keeper_round(l->sp);
	o.keep_delivered_ms = 86400000;
	spool_configure(l->sp, &o);
}

/* ---- the life ---- */

static void
be_young(struct life *l)
{
	char sop[48];

	for (unsigned i = 0; i < 10; i++) {
		(void)snprintf(sop, sizeof(sop), "1.1.%u", i);
		put(l, "1.1", sop, i == 4 ? LARGE : 9000 + i, (uint8_t)i);
	}
	put(l, "1.1", "1.1.0", 9000, 0);	/* the same */
	put(l, "1.1", "1.1.1", 9001, 77);	/* a version */
	put(l, "1.1", "1.1.4", LARGE, 78);
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(sop, sizeof(sop), "1.2.%u", i);
		put(l, "1.2", sop, i == 1 ? LARGE : 5000, (uint8_t)i);
	}
	(void)route(l, "1.1");
	for (size_t i = 0; i < 10; i++) {
		if (i != 7)
			settle(l, i, i == 6 ? SPOOL_REFUSED : SPOOL_DELIVERED);
	}
	put(l, "1.1", "1.1.2", 9002, 2);	/* delivered: once more */
	sweep(l);
	put(l, "1.1", "1.1.3", 9003, 3);	/* swept: these bytes count */
	put(l, "1.1", "1.1.4", LARGE, 4);
}

static void
be_old(struct life *l)
{
	char sop[48];

	send_more(l);
	command(l, "1.2", SPOOL_PURGE);
	for (unsigned i = 0; i < 8; i++) {
		(void)snprintf(sop, sizeof(sop), "1.3.%u", i);
		put(l, "1.3", sop, 12000, (uint8_t)(50 + i));
	}
	(void)route(l, "1.3");
	(void)route(l, "1.1");
	for (size_t i = l->n > 8 ? l->n - 8 : 0; i + 1 < l->n; i++)
		settle(l, i, SPOOL_DELIVERED);
	sweep(l);
	if (!l->sp->rebuilding)
		prune_log(l->sp, 1);
	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(sop, sizeof(sop), "1.4.%u", i);
		put(l, "1.4", sop, i == 2 ? LARGE : 12000, (uint8_t)(80 + i));
	}
	command(l, "1.4", SPOOL_DROP);
	put(l, "1.4", "1.4.0", 12000, 80);	/* let go: owed again */
	sweep(l);
}

static void
live(struct life *l)
{
	if (begin(l)) {
		be_young(l);
		send_some(l);
		spool_close(TAKE_PTR(l->sp));
		if (begin(l)) {
			be_old(l);
			spool_close(TAKE_PTR(l->sp));
		}
	}
}

/* ---- and what is left ---- */

static bool
bytes_are_right(struct life *l, const struct want *w)
{
	AUTO_FREE char *got = NULL;
	struct buf obj = BUF_INIT(1 << 20);
	struct spool_reader *r = NULL;
	bool right;

	if (spool_reader_open(l->sp, w->id, &r) < 0)
		return false;
	make_object(&obj, w->study, w->sop, w->pixels, w->fill);
	got = xcalloc(1, obj.len);
	right = spool_reader_length(r) == obj.len &&
	    spool_reader_read(r, 0, got, obj.len) == (ssize_t)obj.len &&
	    memcmp(got, obj.data, obj.len) == 0;
	spool_reader_close(r);
	buf_free(&obj);
	return right;
}

struct sought {
	uint64_t id;
	bool	 found;
	char	 text[64];
};

static int
seek_instance(void *arg, const struct spool_instance *in)
{
	struct sought *s = arg;

	s->found |= in->id == s->id;
	return 0;
}

static int
seek_job(void *arg, const struct spool_job *job)
{
	struct sought *s = arg;

	if (job->id == s->id) {
		s->found = true;
		(void)snprintf(s->text, sizeof(s->text), "%s", job->text);
	}
	return 0;
}

static int
seek_new(void *arg, const struct spool_delivery_row *row)
{
	struct sought *s = arg;

	s->found |= strcmp(row->destination, "new") == 0;
	return 0;
}

static bool
somebody_sent_it(struct life *l, const struct want *w)
{
	struct sought s = { .id = w->id };

	for (size_t j = 0; j < JOBS; j++) {
		if (l->job[j].id != 0 && spool_job_sent(l->sp, l->job[j].id, 0,
		    0, seek_instance, &s) < 0)
			return false;
	}
	return s.found;
}

static const char *
check_job(struct life *l, const struct job *job)
{
	struct sought s = { .id = job->id };

	if (spool_jobs(l->sp, "cloud", seek_job, &s) < 0)
		return "jobs cannot be listed";
	if (!s.found)
		return job->ending ? NULL : "a job is gone";
	if (job->ended)
		return "a job is still there";
	return strcmp(s.text, job->text) == 0 || strcmp(s.text, job->tried) == 0 ?
	    NULL : "a job has a text of old";
}

static const char *
check_want(struct life *l, const struct want *w, unsigned *ret_version)
{
	struct sought new = { .id = w->id };
	struct spool_instance in;
	int state;

	*ret_version = 0;
	if (spool_instance_get(l->sp, w->id, &in) < 0)
		return w->gone && (w->may & ENDED) != 0 ? NULL : "no row";
	*ret_version = in.version;
	state = see_state(l, w->id);
	if (state < 0)
		return "owed to nobody";
	if (state == ELSEWHERE)
		return "routed a second time";
	if ((BIT(state) & w->may) == 0)
		return "in a state that nobody told";
	if (state == SPOOL_SENT && !somebody_sent_it(l, w))
		return "sent by no job";
	if (w->must_be_new && (spool_deliveries(l->sp, w->id, seek_new, &new) < 0 ||
	    !new.found))
		return "not owed to the new destination";
	if (in.damaged)
		return "damaged";
	if (!in.kept)
		return w->gone && (BIT(state) & ENDED) != 0 ? NULL :
		    "bytes are gone";
	if (w->must_be_gone)
		return "bytes are still there";
	return bytes_are_right(l, w) ? NULL : "other bytes";
}

static void
wait_until_rebuilt(struct life *l)
{
	struct spool_stats st = { .rebuilding = true };

	for (unsigned i = 0; i < 20000 && st.rebuilding; i++) {
		assert_int_equal(spool_stats(l->sp, &st), 0);
		if (st.rebuilding)
			(void)poll(NULL, 0, 1);
	}
	assert_false(st.rebuilding);
}

static void
check_versions(const struct life *l, const unsigned *version, const char *when)
{
	for (size_t i = 0; i < l->n; i++) {
		for (size_t k = i + 1; k < l->n; k++) {
			if (strcmp(l->want[i].sop, l->want[k].sop) == 0 &&
			    version[i] != 0 && version[k] != 0 &&
			    version[i] >= version[k])
				fail_msg("%s: %s: version %u came before %u", when,
				    l->want[i].sop, version[i], version[k]);
		}
	}
}

static void
check_life(struct life *l, const char *dest, const char *when)
{
	static const char *const studies[] = { "1.1", "1.2", "1.3", "1.4", "1.5" };
	unsigned version[WANTS] = { 0 };

	if (!open_life(l))
		fail_msg("%s: it does not open", when);
	wait_until_rebuilt(l);
	l->dest = dest;
	for (size_t i = 0; i < ARRAY_LEN(studies); i++)
		assert_int_equal(route(l, studies[i]), 0);
	for (size_t i = 0; i < l->n; i++) {
		const struct want *w = &l->want[i];
		const char *wrong = check_want(l, w, &version[i]);

		if (wrong != NULL)
			fail_msg("%s: %zu: %s (id %llu, %d of %x): %s", when, i,
			    w->sop, (unsigned long long)w->id,
			    see_state(l, w->id), w->may, wrong);
	}
	for (size_t j = 0; j < JOBS; j++) {
		const char *wrong = l->job[j].id == 0 ? NULL :
		    check_job(l, &l->job[j]);

		if (wrong != NULL)
			fail_msg("%s: job %zu: %s", when, j, wrong);
	}
	check_versions(l, version, when);
	spool_close(TAKE_PTR(l->sp));
}

static void
remove_file(const struct life *l, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", l->dir, name);
	(void)unlink(path);
}

static void
lose_index(const struct life *l)
{
	remove_file(l, "index.db");
	remove_file(l, "index.db-wal");
	remove_file(l, "index.db-shm");
}

static void
be_born(struct life *l)
{
	struct buf why = BUF_INIT(4096);
	struct store *st;

	memset(l, 0, sizeof(*l));
	disk_make_tree(l->dir);
	assert_int_equal(store_open(l->dir, 0, SEGMENT_BYTES, &st, &why), 0);
	store_close(st);
	buf_free(&why);
}

/* What is left now, and what would be left if the index were lost, too. */
static void
be_judged(struct life *l, const char *how)
{
	char when[128];

	disk_reset();
	check_life(l, "cloud", how);
	/* The routes are others by then. */
	(void)snprintf(when, sizeof(when), "%s, then without index", how);
	lose_index(l);
	check_life(l, "elsewhere", when);
	disk_remove_tree(l->dir);
}

/* ---- the tests ---- */

static void
a_life_without_faults(void **state)
{
	struct life l;

	(void)state;
	be_born(&l);
	live(&l);
	assert_int_equal(l.n, 10 + 2 + 3 + 2 + 7 + 8 + 4);
	assert_int_equal(want_of(&l, "1.5.1")->may, BIT(SPOOL_WARNED));
	assert_int_equal(want_of(&l, "1.5.3")->may, BIT(SPOOL_OWED));
	assert_int_equal(want_of(&l, "1.5.4")->may, BIT(SPOOL_SENT));
	assert_true(want_of(&l, "1.5.6")->must_be_new && l.job[0].ended);
	be_judged(&l, "no fault");
}

/* How many of its calls are tried. */
static unsigned
stride(unsigned calls, unsigned sample)
{
	const char *every = getenv("CAUSEWAY_TEST_EVERY");

	if (every != NULL || calls <= sample)
		return 1;
	return calls / sample;
}

static unsigned
first_call(unsigned step)
{
	const char *seed = getenv("CAUSEWAY_TEST_SEED");

	return 1 + (seed != NULL ? (unsigned)atoi(seed) : 0) % step;
}

static unsigned
count_calls(enum disk_call call)
{
	struct life l;
	unsigned n;

	be_born(&l);
	disk_reset();
	disk_fail(call, 0, 0);
	live(&l);
	n = disk.count[call];
	disk_reset();
	disk_remove_tree(l.dir);
	return n;
}

static void
live_with_failing(enum disk_call call, const char *name, int error, bool ever,
    unsigned sample)
{
	unsigned calls = count_calls(call), step = stride(calls, sample);

	for (unsigned n = first_call(step); n <= calls; n += step) {
		struct life l;
		char how[96];

		(void)snprintf(how, sizeof(how), "%s %u of %u fails with %s%s", name,
		    n, calls, strerrorname_np(error), ever ? " for ever" : "");
		be_born(&l);
		disk_fail(call, n, error);
		disk.fail_ever = ever;
		live(&l);
		be_judged(&l, how);
	}
}

static void
a_disk_that_is_full_once(void **state)
{
	(void)state;
	live_with_failing(DISK_WRITE, "write", ENOSPC, false, 22);
	live_with_failing(DISK_ALLOCATE, "allocation", ENOSPC, false, 12);
	live_with_failing(DISK_CREATE, "creation", ENOSPC, false, 12);
}

static void
a_disk_that_is_full(void **state)
{
	(void)state;
	live_with_failing(DISK_WRITE, "write", ENOSPC, true, 14);
}

static int
take_free(void *arg, const struct store_segment *s)
{
	if (s->state == SEGMENT_FREE)
		*(uint64_t *)arg = s->id;
	return 0;
}

/* The store had freed a segment, and the index had no room to hear of it. */
static void
a_freed_segment_is_told_again(void **state)
{
	struct life l;
	uint64_t id = 0;
	bool removed = true;

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(begin(&l));
	be_young(&l);
	sweep(&l);
	assert_int_equal(store_segments(l.sp->store, take_free, &id), 0);
	assert_true(id != 0);
	removed = true;
	assert_int_equal(store_recycle(l.sp->store, id, 64, &removed), 0);
	assert_false(removed);
	spool_close(TAKE_PTR(l.sp));
	be_judged(&l, "freed segments");
}

/* The log had its line, the index had no room: what is promised after that must not
 * be taken by the line. */
static void
an_end_that_was_not_committed_is_none(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 12; n++) {
		struct life l;
		char how[64];

		(void)snprintf(how, sizeof(how), "no room after %u writes", n - 1);
		be_born(&l);
		disk_reset();
		assert_true(begin(&l));
		put(&l, "1.1", "1.1.1", 5000, 1);
		(void)route(&l, "1.1");
		settle(&l, 0, SPOOL_DELIVERED);
		disk_fail(DISK_WRITE, n, ENOSPC);
		disk.fail_ever = true;
		sweep(&l);
		disk_reset();
		put(&l, "1.1", "1.1.1", 5000, 1);
		spool_close(TAKE_PTR(l.sp));
		be_judged(&l, how);
	}
}

static void
a_disk_that_fails_once(void **state)
{
	(void)state;
	live_with_failing(DISK_WRITE, "write", EIO, false, 16);
	live_with_failing(DISK_SYNC, "sync", EIO, false, 18);
	live_with_failing(DISK_RENAME, "rename", EIO, false, 8);
	live_with_failing(DISK_UNLINK, "unlink", EIO, false, 8);
	live_with_failing(DISK_TRUNCATE, "truncation", EIO, false, 8);
}

static void
power_cuts(void **state)
{
	struct life l;
	unsigned changes, step;

	(void)state;
	be_born(&l);
	disk_reset();
	disk.watch = true;
	live(&l);
	changes = disk.changes;
	disk_reset();
	disk_remove_tree(l.dir);

	step = stride(changes, 48);
	for (unsigned n = first_call(step); n <= changes; n += step) {
		char how[96];

		(void)snprintf(how, sizeof(how), "power cut after %u of %u", n,
		    changes);
		be_born(&l);
		disk_reset();
		disk.watch = true;
		disk.dead_after = n;
		live(&l);
		disk_power_cut(n % 4 + 1);
		remove_file(&l, "index.db-shm");
		be_judged(&l, how);
	}
}

/* ---- a rebuild ---- */

static void
rebuild(struct life *l)
{
	if (!begin(l))
		return;
	put(l, "1.1", "1.1.5", 9005, 5);	/* swept once */
	put(l, "1.1", "1.1.8", 9008, 99);
	spool_close(TAKE_PTR(l->sp));
}

static void
be_without_index(struct life *l)
{
	be_born(l);
	disk_reset();
	live(l);
	lose_index(l);
	disk_reset();
}

static void
rebuild_with_failing(enum disk_call call, const char *name, int error,
    unsigned sample)
{
	struct life l;
	unsigned calls, step;

	be_without_index(&l);
	rebuild(&l);
	calls = disk.count[call];
	disk_remove_tree(l.dir);
	step = stride(calls, sample);
	for (unsigned n = first_call(step); n <= calls; n += step) {
		char how[96];

		(void)snprintf(how, sizeof(how), "rebuilding, %s %u of %u fails "
		    "with %s", name, n, calls, strerrorname_np(error));
		be_without_index(&l);
		disk_fail(call, n, error);
		rebuild(&l);
		be_judged(&l, how);
	}
}

static void
a_rebuild_on_a_failing_disk(void **state)
{
	(void)state;
	rebuild_with_failing(DISK_WRITE, "write", ENOSPC, 14);
	rebuild_with_failing(DISK_SYNC, "sync", EIO, 10);
	rebuild_with_failing(DISK_CREATE, "creation", ENOSPC, 5);
}

static void
a_rebuild_without_power(void **state)
{
	struct life l;
	unsigned changes, step;

	(void)state;
	be_without_index(&l);
	disk.watch = true;
	rebuild(&l);
	changes = disk.changes;
	disk_reset();
	disk_remove_tree(l.dir);
	step = stride(changes, 18);
	for (unsigned n = first_call(step); n <= changes; n += step) {
		char how[96];

		(void)snprintf(how, sizeof(how), "rebuilding, power cut after %u of "
		    "%u", n, changes);
		be_without_index(&l);
		disk.watch = true;
		disk.dead_after = n;
		rebuild(&l);
		disk_power_cut(n % 4 + 1);
		remove_file(&l, "index.db-shm");
		be_judged(&l, how);
	}
}

/* A promised object that a sector took meanwhile: shown, not left out. */
static void
damage_that_a_rebuild_meets_is_shown(void **state)
{
	struct life l;
	struct spool_instance in;
	struct store_place at;
	uint8_t sum[HASH_SIZE];
	struct index_reader *ir;
	char path[128];
	int fd, r;

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(begin(&l));
	be_young(&l);
	ir = spool_reader_take(l.sp, &r);
	assert_int_equal(index_reader_instance(ir, l.want[7].id, &in, &at, sum), 0);
	spool_reader_give(l.sp, ir);
	spool_close(TAKE_PTR(l.sp));
	(void)snprintf(path, sizeof(path), "%s/segments/%016llx.seg", l.dir,
	    (unsigned long long)at.segment);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "rot", 3, (off_t)at.offset + 5000), 3);
	(void)close(fd);
	lose_index(&l);
	assert_true(open_life(&l));
	wait_until_rebuilt(&l);
	assert_int_equal(spool_instance_get(l.sp, l.want[7].id, &in), 0);
	assert_true(in.damaged);
	spool_close(TAKE_PTR(l.sp));
	disk_remove_tree(l.dir);
}

/* ---- order ---- */

/* Nobody writes into a segment again while a purge is at it. */
static void
a_purge_keeps_its_segments(void **state)
{
	struct life l;
	struct spool_stats st;

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(begin(&l));
	for (unsigned i = 0; i < 8; i++) {
		char sop[48];

		(void)snprintf(sop, sizeof(sop), "1.1.%u", i);
		put(&l, "1.1", sop, 12000, (uint8_t)i);
	}
	command(&l, "1.1", SPOOL_PURGE);
	atomic_fetch_add(&l.sp->wiping, 1);
	sweep(&l);
	assert_int_equal(spool_stats(l.sp, &st), 0);
	assert_int_equal(st.segments_free, 0);
	atomic_fetch_sub(&l.sp->wiping, 1);
	sweep(&l);
	assert_int_equal(spool_stats(l.sp, &st), 0);
	assert_true(st.segments_free > 0);
	spool_close(TAKE_PTR(l.sp));
	be_judged(&l, "purged");
}

/* Somebody reads while it is purged: the file goes when he has done. */
static void
a_file_that_was_read_goes_later(void **state)
{
	struct spool_reader *r = NULL;
	struct life l;
	char path[128];

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(begin(&l));
	put(&l, "1.1", "1.1.1", LARGE, 1);
	l.sp->keep.next_barrier_ms = 0;
	keeper_round(l.sp);
	(void)snprintf(path, sizeof(path), "%s/objects/%02x/%016llx.obj", l.dir,
	    (unsigned)(l.want[0].id & 0xff), (unsigned long long)l.want[0].id);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(spool_reader_open(l.sp, l.want[0].id, &r), 0);
	command(&l, "1.1", SPOOL_PURGE);
	keeper_round(l.sp);
	assert_int_equal(access(path, F_OK), 0);
	spool_reader_close(r);
	keeper_round(l.sp);
	assert_int_equal(access(path, F_OK), -1);
	spool_close(TAKE_PTR(l.sp));
	be_judged(&l, "read and purged");
}

/* As a crash between the commit and the removal leaves it. */
static void
a_file_that_a_crash_left_goes_at_the_next_start(void **state)
{
	struct life l;
	char path[128], copy[160], cmd[400];

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(begin(&l));
	put(&l, "1.1", "1.1.1", LARGE, 1);
	l.sp->keep.next_barrier_ms = 0;
	keeper_round(l.sp);
	(void)snprintf(path, sizeof(path), "%s/objects/%02x/%016llx.obj", l.dir,
	    (unsigned)(l.want[0].id & 0xff), (unsigned long long)l.want[0].id);
	(void)snprintf(copy, sizeof(copy), "%s/copy", l.dir);
	assert_int_equal(link(path, copy), 0);
	command(&l, "1.1", SPOOL_PURGE);
	spool_close(TAKE_PTR(l.sp));
	(void)snprintf(cmd, sizeof(cmd), "mv %s %s", copy, path);
	assert_int_equal(system(cmd), 0);
	assert_true(begin(&l));
	keeper_round(l.sp);
	assert_int_equal(access(path, F_OK), -1);
	spool_close(TAKE_PTR(l.sp));
	be_judged(&l, "left over");
}

/* The rows are lost in a power cut; the large one is found first. */
static void
versions_that_are_adopted_keep_their_order(void **state)
{
	struct life l;
	char cmd[400];

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(begin(&l));
	spool_close(TAKE_PTR(l.sp));
	(void)snprintf(cmd, sizeof(cmd), "cp %s/index.db %s/before", l.dir, l.dir);
	assert_int_equal(system(cmd), 0);
	assert_true(begin(&l));
	put(&l, "1.1", "1.1.1", 5000, 1);
	put(&l, "1.1", "1.1.1", LARGE, 2);
	spool_close(TAKE_PTR(l.sp));
	lose_index(&l);
	(void)snprintf(cmd, sizeof(cmd), "mv %s/before %s/index.db", l.dir, l.dir);
	assert_int_equal(system(cmd), 0);
	be_judged(&l, "rows lost");
}

static void
a_rebuild_takes_no_commands(void **state)
{
	struct spool_command c = { .verb = SPOOL_PURGE, .actor = "alice" };
	struct life l;
	uint64_t n = 0;

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(begin(&l));
	put(&l, "1.1", "1.1.1", 5000, 1);
	c.study = study_id(&l, "1.1");
	atomic_store(&l.sp->rebuilding, true);
	assert_int_equal(spool_command(l.sp, &c, &n), -EAGAIN);
	atomic_store(&l.sp->rebuilding, false);
	spool_close(TAKE_PTR(l.sp));
	be_judged(&l, "no command");
}

/* ---- all at once ---- */

#define CROWD  4
#define CROWDS 24

struct crowd {
	struct life *l;
	unsigned fill;
};

static void *
put_crowd(void *arg)
{
	const struct crowd *c = arg;

	for (unsigned i = 0; i < CROWDS; i++) {
		struct spool_receipt rec = { 0 };
		struct buf obj = BUF_INIT(1 << 20);
		size_t size = i % 3 == 2 ? LARGE : 3000;
		char sop[48];

		(void)snprintf(sop, sizeof(sop), "1.9.%u", i);
		make_object(&obj, "1.9", sop, size, (uint8_t)(i + c->fill));
		assert_int_equal(store_as(c->l->sp, DICOM_UID_EXPLICIT_LE, sop, &obj,
		    &rec), 0);
		assert_true(rec.version <= 2);
		buf_free(&obj);
	}
	return NULL;
}

static int
count_instance(void *arg, const struct spool_instance *in)
{
	unsigned *n = arg;

	assert_true(in->version == 1 || in->check);
	(*n)++;
	return 0;
}

/* Four associations send the same objects, two of them with other bytes: each comes
 * to be there once, and nobody is told otherwise. */
static void
twins_at_once_are_one(void **state)
{
	pthread_t thread[CROWD];
	struct crowd crowd[CROWD];
	struct life l;
	unsigned n = 0;

	(void)state;
	be_born(&l);
	disk_reset();
	assert_true(open_life(&l));
	for (unsigned i = 0; i < CROWD; i++) {
		crowd[i] = (struct crowd){ &l, i / 2 * 100 };
		assert_int_equal(pthread_create(&thread[i], NULL, put_crowd,
		    &crowd[i]), 0);
	}
	for (unsigned i = 0; i < CROWD; i++)
		(void)pthread_join(thread[i], NULL);
	assert_int_equal(spool_instances(l.sp, study_id(&l, "1.9"), 0,
	    count_instance, &n), 0);
	assert_int_equal(n, 2 * CROWDS);
	/* Also for the next start, which looks through the segments. */
	spool_close(TAKE_PTR(l.sp));
	assert_true(open_life(&l));
	n = 0;
	assert_int_equal(spool_instances(l.sp, study_id(&l, "1.9"), 0,
	    count_instance, &n), 0);
	assert_int_equal(n, 2 * CROWDS);
	spool_close(TAKE_PTR(l.sp));
	disk_remove_tree(l.dir);
}

static void
drop_line(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_life_without_faults),
		cmocka_unit_test(a_disk_that_is_full_once),
		cmocka_unit_test(a_disk_that_is_full),
		cmocka_unit_test(a_freed_segment_is_told_again),
		cmocka_unit_test(an_end_that_was_not_committed_is_none),
		cmocka_unit_test(a_disk_that_fails_once),
		cmocka_unit_test(power_cuts),
		cmocka_unit_test(a_rebuild_on_a_failing_disk),
		cmocka_unit_test(a_rebuild_without_power),
		cmocka_unit_test(damage_that_a_rebuild_meets_is_shown),
		cmocka_unit_test(a_purge_keeps_its_segments),
		cmocka_unit_test(a_file_that_was_read_goes_later),
		cmocka_unit_test(a_file_that_a_crash_left_goes_at_the_next_start),
		cmocka_unit_test(versions_that_are_adopted_keep_their_order),
		cmocka_unit_test(a_rebuild_takes_no_commands),
		cmocka_unit_test(twins_at_once_are_one),
	};

	set_index_disk();
	log_capture(drop_line, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
