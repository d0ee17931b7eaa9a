/* stream.c - the bytes of one connection, plain or TLS, with deadlines.
 *
 * Why not the transport of DCMTK: its timers are per byte and by wall clock, so
 * a peer that drips holds a thread for ever, and it writes header and body of a
 * PDU apart, which together with delayed acknowledgements costs 40 ms an image.
 *
 * TCP_QUICKACK is no lasting option: the kernel falls back to delaying once it
 * takes the connection for interactive. It is set again after each read, which
 * is what makes senders that are bound by Nagle run at full speed.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "gateway/association/association.h"
#include "gateway/association/stream_int.h"
#include "gateway/association/tls_int.h"
#include "gateway/base/buf.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define READ_AHEAD (64 * 1024)

struct stream {
	int	 fd, cancel_fd;
	bool	 cancel;
	int64_t	 deadline_ms;
	int	 error;			/* latched */

	uint8_t *in;
	size_t	 start, end, size;	/* in[start..end) is unread */
	struct buf out;

	SSL	*ssl;
	struct assoc_tls *tls;
	char	 subject[1024], reason[400];
	struct tls_verdict verdict;	/* of who calls */
};

struct stream *
stream_new(int fd, int cancel_fd)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->fd = fd;
	s->cancel_fd = cancel_fd;
	s->cancel = cancel_fd >= 0;
	s->deadline_ms = CLOCK_NEVER;
	s->size = READ_AHEAD;
	s->in = xcalloc(1, s->size);
	s->out = (struct buf)BUF_INIT(STREAM_PDU_MAX);
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	SSL_free(s->ssl);
	assoc_tls_unref(s->tls);
	(void)close(s->fd);
	free(s->in);
	buf_free(&s->out);
	free(s);
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

void
stream_set_deadline(struct stream *s, int64_t deadline_ms)
{
	s->deadline_ms = deadline_ms;
}

void
stream_set_cancel(struct stream *s, int on)
{
	s->cancel = on && s->cancel_fd >= 0;
}

static int
set_failed(struct stream *s, int error)
{
	if (s->error == 0)
		s->error = error;
	return s->error;
}

static int
wait_ready(struct stream *s, short events)
{
	struct pollfd p[2] = { { .fd = s->fd, .events = events },
		{ .fd = s->cancel ? s->cancel_fd : -1, .events = POLLIN } };
	int n, timeout;

	/* Data that is always there must not outlast the deadline either. */
	timeout = clock_timeout(s->deadline_ms);
	if (timeout == 0)
		return set_failed(s, -ETIMEDOUT);
	n = poll(p, 2, timeout);
	if (n < 0)
		return errno == EINTR ? 0 : set_failed(s, -errno);
	if (p[1].revents != 0)
		return set_failed(s, -ECANCELED);
	return n > 0 ? 0 : set_failed(s, -ETIMEDOUT);
}

static void
arm_quickack(struct stream *s)
{
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 },
	    sizeof(int));
}

/* "certificate verify failed" alone does not tell revoked from expired. */
static void
explain_verdict(struct stream *s)
{
	long verdict = SSL_get_verify_result(s->ssl);
	size_t n = strlen(s->reason);

	if (s->verdict.text[0] != '\0')
		(void)snprintf(s->reason, sizeof(s->reason), "%s",
		    s->verdict.text);
	else if (verdict != X509_V_OK)
		(void)snprintf(s->reason + n, sizeof(s->reason) - n, "%s%s",
		    n > 0 ? ": " : "", X509_verify_cert_error_string(verdict));
}

/* What an OpenSSL call left undone: 0 to try again once the socket is ready. */
static int
wait_tls(struct stream *s, int ret)
{
	switch (SSL_get_error(s->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return wait_ready(s, POLLIN);
	case SSL_ERROR_WANT_WRITE:
		return wait_ready(s, POLLOUT);
	case SSL_ERROR_ZERO_RETURN:
	case SSL_ERROR_SYSCALL:
		tls_last_error(s->reason, sizeof(s->reason));
		return set_failed(s, -ECONNRESET);
	default:
		tls_last_error(s->reason, sizeof(s->reason));
		explain_verdict(s);
		return set_failed(s, -EPROTO);
	}
}

/* Takes the session. */
static int
shake_hands(struct stream *s, SSL *ssl, struct assoc_tls *tls)
{
	int r, e;

	s->ssl = ssl;
	if (s->ssl == NULL)
		return set_failed(s, -ENOMEM);
	s->tls = assoc_tls_ref(tls);
	if (SSL_set_fd(s->ssl, s->fd) != 1)
		return set_failed(s, -ENOMEM);
	for (;;) {
		ERR_clear_error();
		r = SSL_do_handshake(s->ssl);
		if (r == 1)
			break;
		e = wait_tls(s, r);
		if (e < 0)
			return e;
	}
	arm_quickack(s);
	tls_peer_subject(s->ssl, s->subject, sizeof(s->subject));
	return 0;
}

int
stream_handshake(struct stream *s, struct assoc_tls *tls)
{
	return shake_hands(s, tls_session_new(tls), tls);
}

int
stream_handshake_client(struct stream *s, struct assoc_tls *tls, const char *name)
{
	return shake_hands(s, tls_session_new_client(tls, name, &s->verdict), tls);
}

/* One read of whatever is there, first into data, the rest ahead into ours, which
 * is empty then. Bytes in data are returned; more may lie in the buffer. */
static ssize_t
receive_plain(struct stream *s, void *data, size_t len)
{
	struct iovec iov[2] = { { data, len },
		{ s->in + s->end, s->size - s->end } };
	ssize_t n;
	int e;

	for (;;) {
		n = readv(s->fd, iov, 2);
		if (n > 0)
			break;
		if (n == 0)
			return set_failed(s, -ECONNRESET);
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return set_failed(s, -ECONNRESET);
		e = wait_ready(s, POLLIN);
		if (e < 0)
			return e;
	}
	arm_quickack(s);
	if ((size_t)n <= len)
		return n;
	s->end += (size_t)n - len;
	return (ssize_t)len;
}

static ssize_t
receive_tls(struct stream *s, void *data, size_t len)
{
	int n, e;

	for (;;) {
		ERR_clear_error();
		n = SSL_read(s->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
		if (n > 0)
			break;
		e = wait_tls(s, n);
		if (e < 0)
			return e;
	}
	if (!SSL_has_pending(s->ssl))
		arm_quickack(s);
	return n;
}

static ssize_t
receive(struct stream *s, void *data, size_t len)
{
	if (s->error < 0)
		return s->error;
	if (s->ssl != NULL)
		return receive_tls(s, data, len);
	return receive_plain(s, data, len);
}

/* Room for n bytes in all, from the start of the buffer. */
static int
make_room(struct stream *s, size_t n)
{
	uint8_t *in;

	if (s->start > 0) {
		memmove(s->in, s->in + s->start, s->end - s->start);
		s->end -= s->start;
		s->start = 0;
	}
	if (n <= s->size)
		return 0;
	assert(n <= STREAM_PEEK_MAX);
	in = realloc(s->in, n);
	if (in == NULL)
		return set_failed(s, -ENOMEM);
	s->in = in;
	s->size = n;
	return 0;
}

/* A large request was read: back to the usual size. */
static void
shrink_buffer(struct stream *s)
{
	uint8_t *in;

	if (s->size <= READ_AHEAD || s->end - s->start > READ_AHEAD)
		return;
	(void)make_room(s, 0);
	in = realloc(s->in, READ_AHEAD);
	if (in == NULL)
		return;
	s->in = in;
	s->size = READ_AHEAD;
}

int
stream_fill(struct stream *s, size_t n)
{
	ssize_t got;
	size_t at;
	int e;

	if (s->end - s->start >= n)
		return 0;
	e = make_room(s, n);
	while (e == 0 && s->end < n) {
		at = s->end;
		/* The buffer itself is the target; nothing is read behind it. */
		s->end = s->size;
		got = receive(s, s->in + at, s->size - at);
		s->end = got < 0 ? at : at + (size_t)got;
		e = got < 0 ? (int)got : 0;
	}
	return e;
}

uint8_t *
stream_peek(struct stream *s)
{
	return s->in + s->start;
}

size_t
stream_peekable(const struct stream *s)
{
	return s->end - s->start;
}

void
stream_drop(struct stream *s, size_t n)
{
	assert(n <= s->end - s->start);
	s->start += n;
	if (s->start == s->end) {
		s->start = s->end = 0;
		shrink_buffer(s);
	}
}

ssize_t
stream_read(struct stream *s, void *data, size_t len)
{
	size_t n = s->end - s->start;

	assert(len > 0);
	if (n == 0)
		return receive(s, data, len);
	if (n > len)
		n = len;
	memcpy(data, s->in + s->start, n);
	stream_drop(s, n);
	return (ssize_t)n;
}

static int
send_plain(struct stream *s, const char *data, size_t len)
{
	ssize_t n;
	int e;

	while (len > 0) {
		n = send(s->fd, data, len, MSG_NOSIGNAL);
		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return set_failed(s, -ECONNRESET);
		e = wait_ready(s, POLLOUT);
		if (e < 0)
			return e;
	}
	return 0;
}

static int
send_tls(struct stream *s, const char *data, size_t len)
{
	int n, e;

	for (;;) {
		ERR_clear_error();
		n = SSL_write(s->ssl, data, (int)len);
		if (n > 0)
			return 0;	/* whole: partial writes are off */
		e = wait_tls(s, n);
		if (e < 0)
			return e;
	}
}

static bool
holds_whole_pdu(const struct buf *b)
{
	const uint8_t *p = (const uint8_t *)b->data;
	size_t len;

	if (b->len < 6)
		return false;
	len = (size_t)p[2] << 24 | (size_t)p[3] << 16 | (size_t)p[4] << 8 | p[5];
	return b->len >= 6 + len;
}

int
stream_write(struct stream *s, const void *data, size_t len)
{
	int e;

	if (s->error < 0)
		return s->error;
	e = buf_add(&s->out, data, len);
	if (e < 0)
		return set_failed(s, e);
	if (!holds_whole_pdu(&s->out))
		return 0;
	e = s->ssl != NULL ? send_tls(s, s->out.data, s->out.len)
			   : send_plain(s, s->out.data, s->out.len);
	buf_clear(&s->out);
	return e;
}

void
stream_forgive(struct stream *s)
{
	if (s->error == -ETIMEDOUT || s->error == -ECANCELED)
		s->error = 0;
	buf_clear(&s->out);
}

void
stream_finish(struct stream *s, int64_t wait_ms)
{
	ssize_t n;

	if (s->error < 0)
		return;
	stream_set_deadline(s, clock_mono_ms() + wait_ms);
	if (s->ssl != NULL)
		(void)SSL_shutdown(s->ssl);
	(void)shutdown(s->fd, SHUT_WR);
	/* Below TLS: what comes is thrown away unread. */
	do {
		n = recv(s->fd, s->in, s->size, MSG_TRUNC);
		if (n < 0 && errno == EAGAIN)
			n = wait_ready(s, POLLIN) == 0;
	} while (n > 0 && clock_mono_ms() < s->deadline_ms);
}

void
stream_cut(struct stream *s)
{
	(void)shutdown(s->fd, SHUT_RDWR);
}

int
stream_error(const struct stream *s)
{
	return s->error;
}

const char *
stream_reason(const struct stream *s)
{
	return s->reason;
}

const char *
stream_tls_version(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_version(s->ssl) : NULL;
}

const char *
stream_tls_cipher(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_cipher_name(s->ssl) : NULL;
}

const char *
stream_tls_subject(const struct stream *s)
{
	return s->ssl != NULL ? s->subject : NULL;
}
