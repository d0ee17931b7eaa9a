/* stream_int.h - the bytes of one connection, plain or TLS, with deadlines.
 *
 * The socket is non-blocking; every wait ends at a CLOCK_MONOTONIC deadline, so
 * neither a slow peer nor a step of the wall clock holds a thread longer than it
 * should. What is read ahead is bounded; what is written is held back until a PDU
 * is whole and then leaves in one write.
 *
 * One thread at a time, except stream_cut(), which any thread may call while the
 * stream lives. The first failure is latched: everything after it returns it.
 */
#ifndef CW_ASSOCIATION_STREAM_INT_H
#define CW_ASSOCIATION_STREAM_INT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct assoc_tls;
struct stream;

#define STREAM_PEEK_MAX (1024 * 1024 + 6)	/* the largest A-ASSOCIATE-RQ */
#define STREAM_PDU_MAX	(256 * 1024)		/* the largest PDU of ours */

/* Takes fd. Waits also end, with -ECANCELED, when cancel_fd becomes readable
 * (-1: none) while stream_set_cancel() is on. */
struct stream *stream_new(int fd, int cancel_fd);
void	       stream_free(struct stream *s);	/* closes; takes NULL */
int	       stream_fd(const struct stream *s);

void stream_set_deadline(struct stream *s, int64_t deadline_ms);
void stream_set_cancel(struct stream *s, int on);

/* Server side. A reference to tls is kept. */
int stream_handshake(struct stream *s, struct assoc_tls *tls);
/* The side that calls: the peer's certificate must bear that name. */
int stream_handshake_client(struct stream *s, struct assoc_tls *tls,
    const char *name);

/* At least n bytes can be peeked at. -ECONNRESET also when the peer closed. */
int	 stream_fill(struct stream *s, size_t n);
uint8_t *stream_peek(struct stream *s);
size_t	 stream_peekable(const struct stream *s);
void	 stream_drop(struct stream *s, size_t n);	/* what was peeked at */
/* 1..len bytes, or a negative errno. */
ssize_t	 stream_read(struct stream *s, void *data, size_t len);
/* All or nothing; leaves when a PDU is whole. */
int	 stream_write(struct stream *s, const void *data, size_t len);

/* After -ETIMEDOUT or -ECANCELED one more PDU may be written: the A-ABORT. What was
 * held back is dropped. */
void stream_forgive(struct stream *s);
/* Says goodbye and waits up to that long for the peer to do so too, because data
 * that lies unread when we close would turn our last PDU into a reset. */
void stream_finish(struct stream *s, int64_t wait_ms);
void stream_cut(struct stream *s);

int	    stream_error(const struct stream *s);
const char *stream_reason(const struct stream *s);	/* of TLS; "" */
const char *stream_tls_version(const struct stream *s);	/* NULL: plain */
const char *stream_tls_cipher(const struct stream *s);
const char *stream_tls_subject(const struct stream *s);

#endif
