/* activity.c - which studies are being received, by whom, and since when they
 * are silent (rule 11). In memory only: after a restart silence begins anew, so a
 * restart delays a study by `complete_after` at most (invariant 8).
 *
 * Entries are bounded by what is being received: one goes when no source and no
 * put refers to it and the index no longer calls its study incomplete.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "spool/spool_int.h"

#define BUCKETS 1024

struct activity_entry {
	LIST_ENTRY(activity_entry) link;
	char	 uid[DICOM_UID_MAX + 1];
	struct spool_origin origin;
	int64_t	 first_ms;
	_Atomic int64_t last_ms;
	unsigned sources, puts;
	enum spool_priority priority;
	bool	 described;	/* by the index, since the last collection */
};
LIST_HEAD(bucket, activity_entry);

struct activity {
	pthread_mutex_t mu;
	struct bucket	bucket[BUCKETS];	/* mu */
};

struct activity *
activity_new(void)
{
	struct activity *a = xcalloc(1, sizeof(*a));

	(void)pthread_mutex_init(&a->mu, NULL);
	for (size_t i = 0; i < BUCKETS; i++)
		LIST_INIT(&a->bucket[i]);
	return a;
}

static void
free_entry(struct activity_entry *e)
{
	LIST_REMOVE(e, link);
	free(e);
}

void
activity_free(struct activity *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (!LIST_EMPTY(&a->bucket[i]))
			free_entry(LIST_FIRST(&a->bucket[i]));
	}
	(void)pthread_mutex_destroy(&a->mu);
	free(a);
}

static struct activity_entry *
find_or_add(struct activity *a, const char *uid)
{
	struct bucket *b = &a->bucket[hash_seal(uid, strlen(uid), 0) % BUCKETS];
	struct activity_entry *e;

	LIST_FOREACH(e, b, link) {
		if (strcmp(e->uid, uid) == 0)
			return e;
	}
	e = xcalloc(1, sizeof(*e));
	(void)strncpy(e->uid, uid, sizeof(e->uid) - 1);
	e->first_ms = clock_boot_ms();
	e->priority = SPOOL_NORMAL;
	atomic_store(&e->last_ms, e->first_ms);
	LIST_INSERT_HEAD(b, e, link);
	return e;
}

/* Moves the study to the front of the source's list; the last one falls out when
 * there are too many (a source that sends thousands of studies holds few open). */
static void
note_source(struct spool_source *src, struct activity_entry *e)
{
	unsigned i;

	for (i = 0; i < src->n_studies && src->study[i] != e; i++)
		continue;
	if (i == src->n_studies) {
		if (src->n_studies == SOURCE_STUDIES)
			src->study[--i]->sources--;
		else
			src->n_studies++;
		e->sources++;
	}
	memmove(&src->study[1], &src->study[0], i * sizeof(src->study[0]));
	src->study[0] = e;
}

struct activity_entry *
activity_touch(struct activity *a, struct spool_source *src, const char *study_uid,
    enum spool_priority p)
{
	struct activity_entry *e;

	LOCK_SCOPE(&a->mu);
	e = find_or_add(a, study_uid);
	e->origin = src->origin;
	if (p > e->priority)
		e->priority = p;
	note_source(src, e);
	activity_bytes(e);
	return e;
}

void
activity_bytes(struct activity_entry *e)
{
	atomic_store_explicit(&e->last_ms, clock_boot_ms(), memory_order_relaxed);
}

void
activity_put_begins(struct activity *a, struct activity_entry *e)
{
	LOCK_SCOPE(&a->mu);
	e->puts++;
}

void
activity_put_ends(struct activity *a, struct activity_entry *e)
{
	LOCK_SCOPE(&a->mu);
	assert(e->puts > 0);
	e->puts--;
	activity_bytes(e);
}

void
activity_source_ends(struct activity *a, struct spool_source *src)
{
	LOCK_SCOPE(&a->mu);
	while (src->n_studies > 0)
		src->study[--src->n_studies]->sources--;
}

void
activity_describe(struct activity *a, struct spool_open_study *s)
{
	struct activity_entry *e;

	LOCK_SCOPE(&a->mu);
	e = find_or_add(a, s->uid);
	e->described = true;
	if (e->origin.calling[0] != '\0')
		s->origin = e->origin;
	s->first_ms = e->first_ms;
	s->last_ms = atomic_load(&e->last_ms);
	/* A put that is being written holds it open as its association does. */
	s->sources = e->sources > 0 ? e->sources : e->puts;
	if (e->priority > s->priority)
		s->priority = e->priority;
}

void
activity_collect(struct activity *a)
{
	struct activity_entry *e, *next;

	LOCK_SCOPE(&a->mu);
	for (size_t i = 0; i < BUCKETS; i++) {
		for (e = LIST_FIRST(&a->bucket[i]); e != NULL; e = next) {
			next = LIST_NEXT(e, link);
			if (!e->described && e->puts == 0) {
				/* All that came is routed. While a source is
				 * open it may send more: what then comes is an
				 * addition with a beginning of its own. */
				if (e->sources == 0)
					free_entry(e);
				else
					e->first_ms = clock_boot_ms();
			} else {
				e->described = false;
			}
		}
	}
}
