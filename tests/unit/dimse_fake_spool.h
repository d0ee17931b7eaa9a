/* dimse_fake_spool.h - a spool that keeps what a test asks about and throws the
 * bytes away. A test that includes it stands in for the real one at link time.
 *
 * The settings are changed between associations only; what was seen is read under
 * fake.mu or when no association runs.
 */
#ifndef CW_TESTS_UNIT_DIMSE_FAKE_SPOOL_H
#define CW_TESTS_UNIT_DIMSE_FAKE_SPOOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "spool/spool.h"

struct spool { int unused; };
struct spool_source { int unused; };
struct spool_put {
	struct spool_put_head head;
	struct dicom_head described;
	bool	 is_described;
	char	 study[DICOM_UID_MAX + 1];
	uint64_t length;
	struct buf bytes;
};

static struct {
	/* settings */
	enum spool_space space;
	int begin_error, commit_error;
	enum spool_outcome outcome;
	bool keep_bytes;
	const char *job_destination, *job_text;	/* the one job; NULL: none */
	struct spool_instance member[4];	/* that it has sent */
	size_t	    n_members;
	int	    settle_error;
	/* seen */
	pthread_mutex_t mu;
	struct spool_put last;		/* as committed */
	struct spool_origin origin;
	unsigned begun, committed, given_up, sources;
	enum spool_delivery settled[4];		/* of the members, by id from 1 */
	char	 settled_reason[4][200], job_set[SPOOL_JOB_TEXT_MAX + 1];
	unsigned jobs_ended;
} fake = { .mu = PTHREAD_MUTEX_INITIALIZER };

static inline void
fake_reset(void)
{
	buf_free(&fake.last.bytes);
	memset(&fake.last, 0, sizeof(fake.last));
	fake.space = SPOOL_SPACE_GOOD;
	fake.begin_error = fake.commit_error = 0;
	fake.outcome = SPOOL_NEW;
	fake.keep_bytes = false;
	fake.begun = fake.committed = fake.given_up = fake.sources = 0;
	fake.job_destination = fake.job_text = NULL;
	fake.n_members = 0;
	fake.settle_error = 0;
	fake.jobs_ended = 0;
	fake.job_set[0] = '\0';
	memset(fake.settled, 0, sizeof(fake.settled));
}

enum spool_space
spool_space(struct spool *sp)
{
	(void)sp;
	return fake.space;
}

struct spool_source *
spool_source_open(struct spool *sp, const struct spool_origin *origin)
{
	LOCK_SCOPE(&fake.mu);
	(void)sp;
	fake.sources++;
	fake.origin = *origin;
	return xcalloc(1, sizeof(struct spool_source));
}

void
spool_source_close(struct spool_source *src)
{
	LOCK_SCOPE(&fake.mu);
	if (src != NULL)
		fake.sources--;
	free(src);
}

int
spool_put_begin(struct spool_source *src, const struct spool_put_head *head,
    struct spool_put **ret)
{
	LOCK_SCOPE(&fake.mu);
	(void)src;
	if (fake.begin_error < 0)
		return fake.begin_error;
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->head = *head;
	(*ret)->bytes.max = 16 * 1024 * 1024;
	fake.begun++;
	return 0;
}

int
spool_put_write(struct spool_put *put, const void *data, size_t len)
{
	put->length += len;
	if (fake.keep_bytes)
		(void)buf_add(&put->bytes, data, len);
	return 0;
}

void
spool_put_study(struct spool_put *put, const char *study_uid)
{
	(void)snprintf(put->study, sizeof(put->study), "%s", study_uid);
}

void
spool_put_describe(struct spool_put *put, const struct dicom_head *head)
{
	put->described = *head;
	put->is_described = true;
}

uint64_t
spool_put_length(const struct spool_put *put)
{
	return put->length;
}

int
spool_commit(struct spool_put **put, struct spool_receipt *ret)
{
	LOCK_SCOPE(&fake.mu);
	if (fake.commit_error == 0) {
		buf_free(&fake.last.bytes);
		fake.last = **put;
		fake.committed++;
		*ret = (struct spool_receipt){ .id = fake.committed, .version = 1,
			.outcome = fake.outcome };
	} else {
		buf_free(&(*put)->bytes);
	}
	free(*put);
	*put = NULL;
	return fake.commit_error;
}

void
spool_put_free(struct spool_put *put)
{
	LOCK_SCOPE(&fake.mu);
	if (put == NULL)
		return;
	fake.given_up++;
	buf_free(&put->bytes);
	free(put);
}

/* ---- jobs, for reports of storage commitment -------------------------------- */

#define FAKE_JOB 9

int
spool_jobs(struct spool *sp, const char *destination, spool_job_fn *fn, void *arg)
{
	struct spool_job job = { .id = FAKE_JOB,
		.destination = fake.job_destination, .text = fake.job_text };

	(void)sp;
	if (fake.job_text == NULL || strcmp(destination, job.destination) != 0)
		return 0;
	return fn(arg, &job);
}

int
spool_job_sent(struct spool *sp, uint64_t id, uint64_t after, size_t limit,
    spool_instance_fn *fn, void *arg)
{
	int r = 0;

	(void)sp;
	for (size_t i = 0; i < fake.n_members && i < limit && r == 0; i++)
		if (id == FAKE_JOB && fake.member[i].id > after)
			r = fn(arg, &fake.member[i]);
	return r;
}

int
spool_settle(struct spool *sp, const struct spool_verdict *v, size_t n)
{
	LOCK_SCOPE(&fake.mu);
	(void)sp;
	for (size_t i = 0; i < n && fake.settle_error == 0; i++) {
		fake.settled[v[i].id - 1] = v[i].state;
		(void)snprintf(fake.settled_reason[v[i].id - 1],
		    sizeof(fake.settled_reason[0]), "%s",
		    v[i].reason != NULL ? v[i].reason : "");
	}
	return fake.settle_error;
}

int
spool_job_new(struct spool *sp, const char *destination, const char *text,
    uint64_t *ret_id)
{
	(void)sp;
	(void)destination;
	(void)text;
	(void)ret_id;
	return -EAGAIN;
}

int
spool_job_set(struct spool *sp, uint64_t id, const char *text)
{
	(void)sp;
	(void)id;
	(void)snprintf(fake.job_set, sizeof(fake.job_set), "%s", text);
	return 0;
}

int
spool_job_end(struct spool *sp, uint64_t id)
{
	(void)sp;
	(void)id;
	fake.jobs_ended++;
	return 0;
}

int
spool_deliveries(struct spool *sp, uint64_t instance, spool_delivery_fn *fn,
    void *arg)
{
	(void)sp;
	(void)instance;
	(void)fn;
	(void)arg;
	return 0;
}

int
spool_set_replacing(struct spool *sp, uint64_t id, const char *destination)
{
	(void)sp;
	(void)id;
	(void)destination;
	return -ENOENT;
}

int
spool_note_set(struct spool *sp, uint64_t id, const char *destination,
    const char *text)
{
	(void)sp;
	(void)id;
	(void)destination;
	(void)text;
	return -ENOENT;
}

int
spool_note_get(struct spool *sp, uint64_t id, const char *destination,
    struct buf *ret)
{
	(void)sp;
	(void)id;
	(void)destination;
	(void)ret;
	return -ENOENT;
}

int
spool_reader_open(struct spool *sp, uint64_t id, struct spool_reader **ret)
{
	(void)sp;
	(void)id;
	(void)ret;
	return -ENOENT;
}

void
spool_reader_close(struct spool_reader *r)
{
	(void)r;
}

uint64_t
spool_reader_length(const struct spool_reader *r)
{
	(void)r;
	return 0;
}

ssize_t
spool_reader_read(struct spool_reader *r, uint64_t at, void *data, size_t len)
{
	(void)r;
	(void)at;
	(void)data;
	(void)len;
	return 0;
}

int
spool_reader_verify(struct spool_reader *r)
{
	(void)r;
	return 0;
}

const uint8_t *
spool_reader_checksum(const struct spool_reader *r)
{
	(void)r;
	return NULL;
}

#endif
