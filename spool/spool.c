/* spool.c - opening and closing, stopping on a failed disk, and looking. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/base/log.h"
#include "spool/put_int.h"
#include "spool/spool_int.h"

#define ROOM_TO_START (1u << 20)
#define PATIENCE_MS   10000	/* less than a sender has */

/* ---- a failed disk (invariant 7) ---- */

void
spool_suspect(struct spool *sp, const char *what, int error)
{
	AUTO_CLOSE int fd = -1;
	spool_fatal_fn *fatal;
	void *arg;

	if (atomic_exchange(&sp->suspect, true))
		return;
	log_error("the spool's disk failed: nothing is promised any more, the index "
	    "is rebuilt at the next start", LOG_STR("what", what), LOG_ERR(error));

	/* Best effort: without the mark the next start checks the index anyway. */
	fd = fdio_openat(store_dirfd(sp->store), SPOOL_SUSPECT_FILE,
	    O_WRONLY | O_CREAT, 0600);
	if (fd >= 0)
		(void)fdio_sync(store_dirfd(sp->store));

	(void)pthread_mutex_lock(&sp->callbacks_mu);
	fatal = sp->fatal;
	arg = sp->fatal_arg;
	(void)pthread_mutex_unlock(&sp->callbacks_mu);
	if (fatal != NULL)
		fatal(arg, what);
}

void
spool_callbacks(struct spool *sp, spool_wake_fn *wake, void *wake_arg,
    spool_fatal_fn *fatal, void *fatal_arg)
{
	LOCK_SCOPE(&sp->callbacks_mu);
	sp->wake = wake;
	sp->wake_arg = wake_arg;
	sp->fatal = fatal;
	sp->fatal_arg = fatal_arg;
}

void
spool_wake(struct spool *sp)
{
	LOCK_SCOPE(&sp->callbacks_mu);
	if (sp->wake != NULL)
		sp->wake(sp->wake_arg);
}

/* ---- opening ---- */

static int
make_directory(const char *path, struct buf *why)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		int r = -errno;

		(void)buf_printf(why, "cannot make the spool directory %s: %s", path,
		    strerror(-r));
		return r;
	}
	return 0;
}

static int
set_index_aside(const char *directory, const char *because)
{
	int r = index_set_aside(directory);

	log_warn("the index is set aside and rebuilt from the records",
	    LOG_STR("why", because));
	return r == -ENOENT ? 0 : r;
}

static int
open_index(struct spool *sp, struct buf *why)
{
	int dirfd = store_dirfd(sp->store), r = 0;
	bool created;

	if (faccessat(dirfd, SPOOL_SUSPECT_FILE, F_OK, 0) == 0) {
		r = set_index_aside(sp->directory, "the disk failed under it");
		if (r >= 0)
			r = fdio_unlink(dirfd, SPOOL_SUSPECT_FILE);
	}
	if (r >= 0)
		r = index_open(sp->directory, store_uuid(sp->store), &sp->ix,
		    &created, why);
	if (r == -EUCLEAN) {
		r = set_index_aside(sp->directory, why->data != NULL ? why->data :
		    "it is damaged");
		buf_clear(why);
		if (r >= 0)
			r = index_open(sp->directory, store_uuid(sp->store), &sp->ix,
			    &created, why);
	}
	return r;
}

static int
open_log(struct spool *sp, struct buf *why)
{
	uint64_t bad = 0;
	int r = settle_open(store_dirfd(sp->store), &sp->log, &bad);

	if (r < 0)
		(void)buf_printf(why, "cannot open the settle log: %s", strerror(-r));
	if (bad > 0)
		log_warn("lines of the settle log are damaged and passed over; what "
		    "they settled may be delivered again", LOG_U64("lines", bad));
	return r;
}

/* An index that is opened writes, too: on a full disk the ballast goes first, or
 * what is owed could never leave and make room. */
static void
make_room(struct spool *sp)
{
	uint64_t disk_free, disk_size;

	if (store_space(sp->store, &disk_free, &disk_size) >= 0 &&
	    disk_free < ROOM_TO_START)
		(void)store_ballast_release(sp->store);
}

static uint64_t
small_max(const struct store *st)
{
	uint64_t most = store_record_max(st) - RECORD_HEAD;

	return most < PUT_SMALL_MAX ? most : PUT_SMALL_MAX;
}

static int
open_parts(struct spool *sp, const struct spool_options *opt, struct buf *why)
{
	int r;

	r = make_directory(sp->directory, why);
	if (r >= 0)
		r = store_open(sp->directory, opt->node, 0, &sp->store, why);
	if (r >= 0)
		make_room(sp);
	if (r >= 0)
		sp->small_max = small_max(sp->store);
	if (r >= 0)
		r = open_index(sp, why);
	if (r >= 0)
		r = open_log(sp, why);
	if (r >= 0)
		r = adopt_at_start(sp, why);
	if (r < 0)
		return r;

	keeper_measure_space(sp);
	r = commit_start(sp);
	if (r >= 0)
		r = keeper_start(sp);
	if (r < 0)
		(void)buf_printf(why, "cannot start a thread: %s", strerror(-r));
	return r;
}

void
spool_configure(struct spool *sp, const struct spool_options *opt)
{
	atomic_store(&sp->reserve, opt->reserve);
	atomic_store(&sp->keep_delivered_ms, opt->keep_delivered_ms);
	atomic_store(&sp->keep_index_ms, opt->keep_index_ms);
}

int
spool_open(const struct spool_options *opt, struct spool **ret, struct buf *why)
{
	struct spool *sp = xcalloc(1, sizeof(*sp));
	int r;

	sp->directory = xstrdup(opt->directory);
	sp->patience_ms = PATIENCE_MS;
	sp->activity = activity_new();
	put_pool_init(&sp->pool);
	(void)pthread_mutex_init(&sp->readers_mu, NULL);
	(void)pthread_mutex_init(&sp->callbacks_mu, NULL);
	(void)pthread_mutex_init(&sp->keep.mu, NULL);
	spool_configure(sp, opt);

	r = open_parts(sp, opt, why);
	if (r < 0) {
		spool_close(sp);
		return r;
	}
	*ret = sp;
	return 0;
}

void
spool_close(struct spool *sp)
{
	if (sp == NULL)
		return;
	keeper_stop(sp);
	commit_stop(sp);
	while (sp->n_readers > 0)
		index_reader_close(sp->readers[--sp->n_readers]);
	settle_close(sp->log);
	index_close(sp->ix);
	adopt_free(sp);
	store_close(sp->store);
	activity_free(sp->activity);
	put_pool_done(&sp->pool);
	(void)pthread_mutex_destroy(&sp->readers_mu);
	(void)pthread_mutex_destroy(&sp->callbacks_mu);
	(void)pthread_mutex_destroy(&sp->keep.mu);
	free(sp->directory);
	free(sp);
}

enum spool_space
spool_space(struct spool *sp)
{
	return (enum spool_space)atomic_load(&sp->space);
}

/* ---- readers of the index ---- */

struct index_reader *
spool_reader_take(struct spool *sp, int *ret_r)
{
	struct index_reader *ir = NULL;

	(void)pthread_mutex_lock(&sp->readers_mu);
	if (sp->n_readers > 0)
		ir = sp->readers[--sp->n_readers];
	(void)pthread_mutex_unlock(&sp->readers_mu);
	if (ir == NULL) {
		int r = index_reader_open(sp->directory, &ir);

		if (r < 0) {
			*ret_r = r;
			return NULL;
		}
	}
	return ir;
}

void
spool_reader_give(struct spool *sp, struct index_reader *r)
{
	(void)pthread_mutex_lock(&sp->readers_mu);
	if (sp->n_readers < READERS_IDLE) {
		sp->readers[sp->n_readers++] = r;
		r = NULL;
	}
	(void)pthread_mutex_unlock(&sp->readers_mu);
	index_reader_close(r);
}

/* ---- looking ---- */

/* Each look takes a reader for its duration. */
#define LOOK(sp, call)                                                          \
	({                                                                      \
		int look_r_;                                                    \
		struct index_reader *ir = spool_reader_take((sp), &look_r_);    \
		if (ir != NULL) {                                               \
			look_r_ = (call);                                       \
			spool_reader_give((sp), ir);                            \
		}                                                               \
		look_r_;                                                        \
	})

int
spool_studies(struct spool *sp, const struct spool_filter *f, spool_study_fn *fn,
    void *arg)
{
	return LOOK(sp, index_reader_studies(ir, f, fn, arg));
}

int
spool_study_by_id(struct spool *sp, uint64_t id, spool_study_fn *fn, void *arg)
{
	return LOOK(sp, index_reader_study(ir, id, fn, arg));
}

int
spool_instances(struct spool *sp, uint64_t study, uint64_t after,
    spool_instance_fn *fn, void *arg)
{
	return LOOK(sp, index_reader_instances(ir, study, after, false, 0, fn, arg));
}

int
spool_instance_get(struct spool *sp, uint64_t id, struct spool_instance *ret)
{
	return LOOK(sp, index_reader_instance(ir, id, ret, NULL, NULL));
}

int
spool_deliveries(struct spool *sp, uint64_t instance, spool_delivery_fn *fn,
    void *arg)
{
	return LOOK(sp, index_reader_deliveries(ir, instance, fn, arg));
}

int
spool_study_progress(struct spool *sp, uint64_t study, spool_progress_fn *fn,
    void *arg)
{
	return LOOK(sp, index_reader_progress(ir, study, fn, arg));
}

int
spool_study_facts(struct spool *sp, uint64_t study, unsigned wanted,
    spool_fact_fn *fn, void *arg)
{
	return LOOK(sp, index_reader_facts(ir, study, wanted, fn, arg));
}

int
spool_debts(struct spool *sp, spool_debt_fn *fn, void *arg)
{
	return LOOK(sp, index_reader_debts(ir, fn, arg));
}

/* What only readers see of a damaged index starves whoever waits for it: a rebuild
 * ends that. fn of these never returns that error. */
int
spool_trust(struct spool *sp, int r)
{
	if (r == -EUCLEAN)
		spool_suspect(sp, "the index is damaged", r);
	return r;
}

int
spool_owed_sources(struct spool *sp, const char *destination,
    spool_owed_source_fn *fn, void *arg)
{
	if (atomic_load(&sp->rebuilding))
		return 0;
	return spool_trust(sp, LOOK(sp, index_reader_owed_sources(ir, destination,
	    fn, arg)));
}

int
spool_owed_studies(struct spool *sp, const char *destination,
    const struct spool_owed_source *of, uint64_t after, size_t limit,
    spool_owed_study_fn *fn, void *arg)
{
	return spool_trust(sp, LOOK(sp, index_reader_owed_studies(ir, destination,
	    of, after, limit, fn, arg)));
}

int
spool_owed_study(struct spool *sp, const char *destination, uint64_t study,
    struct spool_owed_study *ret)
{
	if (atomic_load(&sp->rebuilding))
		return -ENOENT;
	return spool_trust(sp, LOOK(sp, index_reader_owed_study(ir, destination,
	    study, ret)));
}

int
spool_owed(struct spool *sp, const char *destination, uint64_t study,
    uint64_t after, size_t limit, spool_instance_fn *fn, void *arg)
{
	return spool_trust(sp, LOOK(sp, index_reader_owed(ir, destination, study,
	    after, limit, fn, arg)));
}

int
spool_stats(struct spool *sp, struct spool_stats *ret)
{
	struct spool_stats st = { 0 };
	int r = LOOK(sp, index_reader_stats(ir, &st));

	if (r < 0)
		return r;
	st.disk_free = atomic_load(&sp->disk_free);
	st.disk_size = atomic_load(&sp->disk_size);
	st.space = spool_space(sp);
	st.suspect = atomic_load(&sp->suspect);
	st.rebuilding = atomic_load(&sp->rebuilding);
	st.rebuilt = atomic_load(&sp->rebuilt);
	*ret = st;
	return 0;
}
