/* cleanup.h - ownership belongs to the variable; a transfer is spelled TAKE.
 *
 * A variable marked AUTO_x is released when its block ends. To hand the thing
 * on, write TAKE_FD(v) or TAKE_PTR(v): the variable becomes "none" and the
 * receiver owns the value. Small fixed allocations never fail here (xcalloc
 * aborts); whatever a peer can size is allocated with malloc and may be -ENOMEM.
 */
#ifndef CW_BASE_CLEANUP_H
#define CW_BASE_CLEANUP_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p) { free(*(void **)p); }
static inline void
cleanup_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		(void)close(*fd);
		errno = saved;
	}
}
static inline void
cleanup_unlock(pthread_mutex_t **mu)
{
	if (*mu != NULL)
		(void)pthread_mutex_unlock(*mu);
}

#define AUTO(fn)   __attribute__((cleanup(fn)))
#define AUTO_FREE  AUTO(cleanup_free)
#define AUTO_CLOSE AUTO(cleanup_close)

/* Hold the mutex until the end of the enclosing block. */
#define LOCK_SCOPE_(mu, n)                                              \
	pthread_mutex_t *n AUTO(cleanup_unlock) = (mu);                 \
	(void)pthread_mutex_lock(n)
#define LOCK_SCOPE_2(mu, l) LOCK_SCOPE_(mu, lock_scope_##l)
#define LOCK_SCOPE_1(mu, l) LOCK_SCOPE_2(mu, l)
#define LOCK_SCOPE(mu)	    LOCK_SCOPE_1(mu, __LINE__)

#define TAKE_(v, none)                                                  \
	({                                                              \
		__typeof__(v) *take_p_ = &(v);                          \
		__typeof__(v) take_v_ = *take_p_;                       \
		*take_p_ = (none);                                      \
		take_v_;                                                \
	})
#define TAKE_FD(fd) TAKE_(fd, -1)
#define TAKE_PTR(p) TAKE_(p, NULL)

/* cleanup_NAME(T **) for AUTO(cleanup_NAME), from `void fn(T *)`. */
#define DEFINE_CLEANUP(T, fn)                                           \
	static inline void cleanup_##fn(T **p) { fn(*p); }

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Never NULL: out of memory here ends the process (small fixed things only). */
void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
