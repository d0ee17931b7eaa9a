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
	/* seen */
	pthread_mutex_t mu;
	struct spool_put last;		/* as committed */
	struct spool_origin origin;
	unsigned begun, committed, given_up, sources;
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

#endif
