/* watch.c - files that somebody else renews.
 *
 * Looked at by stat() whenever they are needed: cheaper than it sounds, and it
 * holds for every way in which people and programs replace a file.
 */
#include <assert.h>

#include "gateway/base/cleanup.h"
#include "gateway/http/watch_int.h"

bool
watch_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
look(const char *path, struct stat *ret)
{
	if (stat(path, ret) < 0)
		*ret = (struct stat){ 0 };
}

void
watch_init(struct watch *w)
{
	*w = (struct watch){ 0 };
	(void)pthread_mutex_init(&w->mu, NULL);
}

void
watch_destroy(struct watch *w)
{
	(void)pthread_mutex_destroy(&w->mu);
}

void
watch_add(struct watch *w, const char *path)
{
	if (path == NULL)
		return;
	assert(w->n < WATCH_MAX);
	w->path[w->n] = path;
	look(path, &w->seen[w->n++]);
}

bool
watch_changed(struct watch *w)
{
	bool changed = false;
	struct stat st;

	LOCK_SCOPE(&w->mu);
	for (size_t i = 0; i < w->n; i++) {
		look(w->path[i], &st);
		if (!watch_same(&st, &w->seen[i])) {
			w->seen[i] = st;
			changed = true;
		}
	}
	return changed;
}
