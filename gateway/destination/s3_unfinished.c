/* s3_unfinished.c - uploads in parts that were interrupted while this process runs.
 *
 * Most go on later. Where the instance is dropped or set aside meanwhile, its note
 * goes with the delivery, and nobody else would take the parts away, which cost
 * money. What a restart forgets is left to the bucket's lifecycle rule.
 */
#include <string.h>

#include "gateway/destination/s3_client_int.h"

struct s3_unfinished {
	LIST_ENTRY(s3_unfinished) link;
	struct spool *spool;
	uint64_t instance;
	char	*destination, *key, *id;
};

static void
free_one(struct s3_unfinished *f)
{
	free(f->destination);
	free(f->key);
	free(f->id);
	free(f);
}

void
s3_unfinished_add(struct s3 *s, const struct s3_object *o, const char *id)
{
	struct s3_unfinished *f;

	if (o->spool == NULL)
		return;
	f = xcalloc(1, sizeof(*f));
	f->spool = o->spool;
	f->instance = o->instance;
	f->destination = xstrdup(o->destination);
	f->key = xstrdup(o->key);
	f->id = xstrdup(id);

	LOCK_SCOPE(&s->mu);
	LIST_INSERT_HEAD(&s->unfinished, f, link);
}

void
s3_unfinished_drop(struct s3 *s, const struct s3_object *o)
{
	struct s3_unfinished *f, *next;

	LOCK_SCOPE(&s->mu);
	for (f = LIST_FIRST(&s->unfinished); f != NULL; f = next) {
		next = LIST_NEXT(f, link);
		if (f->instance != o->instance ||
		    strcmp(f->destination, o->destination) != 0)
			continue;
		LIST_REMOVE(f, link);
		free_one(f);
	}
}

void
s3_unfinished_free(struct s3 *s)
{
	struct s3_unfinished *f;

	while ((f = LIST_FIRST(&s->unfinished)) != NULL) {
		LIST_REMOVE(f, link);
		free_one(f);
	}
}

static bool
is_given_up(const struct s3_unfinished *f)
{
	struct buf note = BUF_INIT(SPOOL_NOTE_MAX + 1);
	int r = spool_note_get(f->spool, f->instance, f->destination, &note);

	buf_free(&note);
	return r == -ENOENT;
}

static void
move_all(struct s3_unfinished_list *from, struct s3_unfinished_list *to)
{
	struct s3_unfinished *f;

	while ((f = LIST_FIRST(from)) != NULL) {
		LIST_REMOVE(f, link);
		LIST_INSERT_HEAD(to, f, link);
	}
}

void
s3_tidy(struct s3 *s)
{
	struct destination_result r = { .retry_after_ms = -1 };
	struct s3_unfinished_list all = LIST_HEAD_INITIALIZER(all);
	struct s3_unfinished *f, *next;

	(void)pthread_mutex_lock(&s->mu);
	move_all(&s->unfinished, &all);
	(void)pthread_mutex_unlock(&s->mu);
	for (f = LIST_FIRST(&all); f != NULL; f = next) {
		next = LIST_NEXT(f, link);
		if (!is_given_up(f) ||
		    s3_abort(s, f->key, f->id, &r) != S3_DONE)
			continue;
		LIST_REMOVE(f, link);
		free_one(f);
	}
	LOCK_SCOPE(&s->mu);
	move_all(&all, &s->unfinished);
}
