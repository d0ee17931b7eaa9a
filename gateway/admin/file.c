/* file.c - GET /v1/instances/ID/file: one instance as a Part 10 file.
 *
 * It is sent in pieces of CHUNK, each when the one before has left, so an object
 * of any size costs the same memory; its bytes are pinned meanwhile. The last
 * piece goes out only when the checksum of all of them is right: whoever got as
 * many bytes as Content-Length says has the object as it was received, and
 * damage shows as a reply that breaks off (invariant 11).
 *
 * Why not sendfile: the bytes must be read anyway for that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "gateway/dicom/part10.h"

#define CHUNK (256 * 1024)

struct sending {
	LIST_ENTRY(sending) link;
	struct admin *admin;
	struct evhttp_request *req;	/* NULL once it is not ours any more */
	struct spool_reader *reader;
	struct hash *hash;
	uint64_t id, length, at;
	struct evbuffer *piece;		/* read, checked, not yet sent */
};

static void
free_sending(struct sending *s)
{
	if (s == NULL)
		return;
	LIST_REMOVE(s, link);
	if (s->reader != NULL)
		spool_reader_close(s->reader);
	hash_free(s->hash);
	evbuffer_free(s->piece);
	free(s);
}

void
admin_sendings_free(struct admin *a)
{
	while (!LIST_EMPTY(&a->sendings))
		free_sending(LIST_FIRST(&a->sendings));
}

static int
check_whole(struct sending *s)
{
	uint8_t digest[HASH_SIZE];

	hash_digest(s->hash, digest);
	return memcmp(digest, spool_reader_checksum(s->reader), HASH_SIZE) == 0 ?
	    0 : -EUCLEAN;
}

static int
read_piece(struct sending *s)
{
	uint64_t left = s->length - s->at;
	size_t want = left < CHUNK ? (size_t)left : CHUNK;
	struct evbuffer_iovec room;
	ssize_t n;

	if (want > 0) {
		if (evbuffer_reserve_space(s->piece, (ev_ssize_t)want, &room, 1) != 1)
			return -ENOMEM;
		n = spool_reader_read(s->reader, s->at, room.iov_base, want);
		if (n < 0 || (size_t)n != want)
			return n < 0 ? (int)n : -EUCLEAN;
		hash_update(s->hash, room.iov_base, want);
		room.iov_len = want;
		(void)evbuffer_commit_space(s->piece, &room, 1);
		s->at += want;
	}
	return s->at == s->length ? check_whole(s) : 0;
}

/* Once, whoever found it first; the uploader finds damage by itself as well. */
static void
report_damage(struct sending *s, int r)
{
	int e = 0;

	if (r == -EUCLEAN)
		e = spool_set_damaged(s->admin->opt.spool, s->id,
		    "the bytes on this disk do not match their checksum");
	log_warn("an instance could not be read", LOG_U64("id", s->id), LOG_ERR(r),
	    LOG_I64("set_aside", e));
}

/* When the connection ended by itself the request is left to us; when libevent
 * ends it, it also frees the request. */
static void
on_close(struct evhttp_connection *conn, void *arg)
{
	struct sending *s = arg;

	(void)conn;
	if (evhttp_request_get_connection(s->req) == NULL)
		evhttp_request_free(s->req);
	free_sending(s);
}

static void
end_sending(struct sending *s, struct evhttp_connection *conn)
{
	evhttp_connection_set_closecb(conn, NULL, NULL);
	evhttp_send_reply_end(s->req);
	free_sending(s);
}

static void
on_sent(struct evhttp_connection *conn, void *arg)
{
	struct sending *s = arg;
	int r;

	if (s->at == s->length) {
		end_sending(s, conn);
		return;
	}
	r = read_piece(s);
	if (r < 0) {
		report_damage(s, r);
		evhttp_connection_set_closecb(conn, NULL, NULL);
		free_sending(s);
		evhttp_connection_free(conn);	/* the reply breaks off */
		return;
	}
	evhttp_send_reply_chunk_with_cb(s->req, s->piece, on_sent, s);
}

static int
add_head(struct evbuffer *out, const struct spool_instance *in, size_t *ret_len)
{
	struct buf head = BUF_INIT(DICOM_PART10_MAX);
	struct dicom_part10 p;
	int r;

	(void)snprintf(p.sop_class, sizeof(p.sop_class), "%s", in->sop_class);
	(void)snprintf(p.sop_instance, sizeof(p.sop_instance), "%s",
	    in->sop_instance);
	(void)snprintf(p.syntax, sizeof(p.syntax), "%s", in->syntax);
	r = dicom_part10_write(&head, &p);
	if (r == 0 && evbuffer_add(out, head.data, head.len) < 0)
		r = -ENOMEM;
	*ret_len = head.len;
	buf_free(&head);
	return r;
}

static int
open_sending(struct admin_call *c, const struct spool_instance *in,
    struct sending **ret, size_t *ret_head)
{
	struct sending *s = xcalloc(1, sizeof(*s));
	int r;

	s->admin = c->admin;
	s->req = c->req;
	s->id = in->id;
	s->hash = hash_new();
	s->piece = evbuffer_new();
	LIST_INSERT_HEAD(&c->admin->sendings, s, link);
	r = spool_reader_open(c->admin->opt.spool, in->id, &s->reader);
	if (r == 0) {
		s->length = spool_reader_length(s->reader);
		r = add_head(s->piece, in, ret_head);
	}
	if (r == 0)
		r = read_piece(s);
	if (r == -EUCLEAN)
		report_damage(s, r);
	if (r < 0) {
		free_sending(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void
begin_reply(struct admin_call *c, struct sending *s, size_t head)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(c->req);
	char length[32];

	(void)snprintf(length, sizeof(length), "%llu",
	    (unsigned long long)(s->length + head));
	(void)evhttp_add_header(out, "Content-Type", "application/dicom");
	(void)evhttp_add_header(out, "Content-Length", length);
	evhttp_connection_set_closecb(evhttp_request_get_connection(c->req),
	    on_close, s);
	evhttp_send_reply_start(c->req, 200, "OK");
	evhttp_send_reply_chunk_with_cb(c->req, s->piece, on_sent, s);
}

static bool
read_id(struct admin_call *c, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(c->part[0], &end, 10);
	if (errno == 0 && *end == '\0' && c->part[0][0] >= '0' &&
	    c->part[0][0] <= '9')
		return true;
	admin_fail(c, 400, "an instance is named by its number");
	return false;
}

void
admin_get_file(struct admin_call *c)
{
	struct spool_instance in;
	struct sending *s;
	size_t head = 0;
	uint64_t id;
	int r;

	if (!read_id(c, &id))
		return;
	r = spool_instance_get(c->admin->opt.spool, id, &in);
	if (r == 0)
		r = open_sending(c, &in, &s, &head);
	if (r == 0)
		begin_reply(c, s, head);
	else if (r == -ENOENT)
		admin_fail(c, 404, "the instance's bytes are not here (any more)");
	else if (r == -EUCLEAN)
		admin_fail(c, 500, "the instance is damaged on this disk");
	else
		admin_fail_errno(c, r, "reading the instance");
}
