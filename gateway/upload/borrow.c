/* borrow.c - a destination lent to somebody who asks it something (an operator's
 * verify, a probe): a reload that replaces it cancels what runs there and waits
 * until it is back.
 */
#include <assert.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/upload/upload_int.h"

struct destination *
upload_borrow(struct upload *u, const char *name)
{
	struct lane *l;

	LOCK_SCOPE(&u->mu);
	TAILQ_FOREACH(l, &u->lanes, link) {
		if (strcmp(l->name, name) == 0) {
			l->borrowed++;
			return l->dest;
		}
	}
	return NULL;
}

void
upload_return(struct upload *u, struct destination *d)
{
	struct lane *l;

	if (d == NULL)
		return;
	LOCK_SCOPE(&u->mu);
	TAILQ_FOREACH(l, &u->lanes, link) {
		if (l->dest == d)
			break;
	}
	/* One that is being retired stands in no list any more. */
	if (l == NULL)
		l = u->retiring;
	assert(l != NULL && l->dest == d && l->borrowed > 0);
	l->borrowed--;
	(void)pthread_cond_broadcast(&u->returned);
}

void
lane_await_return(struct lane *l)
{
	struct upload *u = l->up;

	LOCK_SCOPE(&u->mu);
	while (l->borrowed > 0)
		(void)pthread_cond_wait(&u->returned, &u->mu);
	u->retiring = NULL;
}
