/* watch_int.h - files that somebody else renews: whether they are others than
 * before (time, size, inode).
 */
#ifndef CW_HTTP_WATCH_INT_H
#define CW_HTTP_WATCH_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define WATCH_MAX 4

struct watch {
	pthread_mutex_t mu;
	size_t		n;
	const char     *path[WATCH_MAX];	/* borrowed */
	struct stat	seen[WATCH_MAX];	/* guarded by mu; zero: not there */
};

void watch_init(struct watch *w);
void watch_destroy(struct watch *w);
/* Before it is read for the first time; NULL is passed over. */
void watch_add(struct watch *w, const char *path);
/* True once for each time that one of them became another, went or came. */
bool watch_changed(struct watch *w);

bool watch_same(const struct stat *a, const struct stat *b);

#endif
