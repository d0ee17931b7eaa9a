/* readback.c - what the destination really holds under a SOP Instance UID.
 *
 * The instance is fetched by WADO-RS and compared while it streams in: byte for
 * byte with ours where the transfer syntax is the same, and besides by the hash
 * of its canonical form (explicit little endian, rule 3), which is looked at only
 * when the bytes differ or cannot be the same. Nothing is kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/destination/stow_int.h"
#include "gateway/dicom/part10.h"

#define HEAD_MAX (64u << 10)
#define ACCEPT	 "multipart/related; type=\"application/dicom\"; transfer-syntax=*"

/* Both sides of the comparison; the far one is what streams in. */
struct comparison {
	const struct stow	*stow;
	struct destination_item *item;
	const struct http_reply *reply;
	struct spool_reader	*ours;
	struct http_multipart	*multipart;	/* NULL: a single part */
	bool	    begun;	/* the first bytes were seen */
	unsigned    parts;
	bool	    in_part;	/* in the one that counts */
	struct buf  head;	/* preamble and group 0002, until complete */
	bool	    headed;
	bool	    unreadable;	/* it is no Part 10 file */
	bool	    same_syntax;
	bool	    same_bytes;	/* so far */
	uint64_t    at;		/* of the data set */
	uint64_t    limit;	/* longer cannot be equal */
	struct dicom_reencode *canonical;	/* NULL: has none */
	struct hash *hash;
	int	    local;	/* reading ours failed */
	uint8_t	   *data;
};

static void
end_comparison(struct comparison *c)
{
	spool_reader_close(c->ours);
	http_multipart_free(c->multipart);
	buf_free(&c->head);
	dicom_reencode_free(c->canonical);
	hash_free(c->hash);
	free(c->data);
}

static int
hash_sink(void *arg, const void *data, size_t len)
{
	hash_update(arg, data, len);
	return 0;
}

/* ---- the far side -------------------------------------------------------- */

static void
compare_bytes(struct comparison *c, const uint8_t *far, size_t len)
{
	uint64_t at = c->at;

	while (len > 0 && c->same_bytes) {
		size_t want = len < STOW_PORTION ? len : STOW_PORTION;
		ssize_t n = spool_reader_read(c->ours, at, c->data, want);

		if (n < 0)
			c->local = (int)n;
		if (n != (ssize_t)want || memcmp(far, c->data, want) != 0)
			c->same_bytes = false;
		far += want;
		at += want;
		len -= want;
	}
}

static int
take_dataset(struct comparison *c, const void *data, size_t len)
{
	compare_bytes(c, data, len);
	c->at += len;
	if (c->local != 0)
		return c->local;
	if (c->canonical != NULL &&
	    dicom_reencode_feed(c->canonical, data, len) != 0)
		dicom_reencode_free(TAKE_PTR(c->canonical));
	/* Neither can become equal any more: no need for the rest. */
	return (c->canonical == NULL && !c->same_bytes) || c->at > c->limit ?
	    -ECANCELED : 0;
}

static void
judge_head(struct comparison *c, const struct dicom_part10 *head)
{
	const struct dicom_syntax *far = dicom_syntax_find(head->syntax);
	const struct spool_instance *in = &c->item->in;

	c->headed = true;
	c->same_syntax = c->same_bytes = strcmp(head->syntax, in->syntax) == 0;
	if (dicom_syntax_convertible(far) &&
	    dicom_syntax_convertible(dicom_syntax_find(in->syntax)))
		c->canonical = dicom_reencode_new_compare(far, hash_sink, c->hash);
}

static int
take_part(void *arg, const void *data, size_t len)
{
	struct comparison *c = arg;
	struct dicom_part10 head;
	size_t size;
	int r;

	if (!c->in_part)
		return 0;
	if (c->headed)
		return take_dataset(c, data, len);
	r = buf_add(&c->head, data, len);
	if (r == 0)
		r = dicom_part10_parse(c->head.data, c->head.len, &head, &size);
	if (r == -EAGAIN && c->head.len < HEAD_MAX)
		return 0;
	if (r < 0) {
		c->unreadable = true;
		return -EBADMSG;
	}
	judge_head(c, &head);
	return take_dataset(c, c->head.data + size, c->head.len - size);
}

static int
begin_part(void *arg, const char *content_type)
{
	struct comparison *c = arg;

	(void)content_type;
	c->in_part = c->parts++ == 0;
	return 0;
}

static int
end_part(void *arg)
{
	struct comparison *c = arg;

	c->in_part = false;
	return 0;
}

static const struct http_multipart_events part_events = {
	.part = begin_part,
	.data = take_part,
	.part_end = end_part,
};

/* The reply's body: several parts by the standard, or the file alone. */
static int
take_reply(void *arg, const void *data, size_t len)
{
	struct comparison *c = arg;

	if (!c->begun) {
		c->begun = true;
		if (strncasecmp(c->reply->content_type, "application/dicom", 17) ==
		    0)
			(void)begin_part(c, NULL);
		else if (http_multipart_new(c->reply->content_type, &part_events,
			c, &c->multipart) < 0) {
			c->unreadable = true;
			return -EBADMSG;
		}
	}
	if (c->multipart != NULL)
		return http_multipart_feed(c->multipart, data, len);
	return take_part(c, data, len);
}

/* ---- our side ------------------------------------------------------------ */

/* The hash of our own canonical form; -ENOTSUP if it has none. */
static int
hash_ours(struct comparison *c, uint8_t ret[static HASH_SIZE])
{
	const struct dicom_syntax *syntax = dicom_syntax_find(c->item->in.syntax);
	AUTO(cleanup_hash_free) struct hash *h = hash_new();
	AUTO(cleanup_dicom_reencode_free) struct dicom_reencode *re =
	    dicom_reencode_new_compare(syntax, hash_sink, h);
	uint64_t at = 0;
	ssize_t n;

	while (at < spool_reader_length(c->ours)) {
		n = spool_reader_read(c->ours, at, c->data, STOW_PORTION);
		if (n <= 0)
			return n < 0 ? (int)n : -EUCLEAN;
		if (dicom_reencode_feed(re, c->data, (size_t)n) != 0)
			return -ENOTSUP;
		at += (uint64_t)n;
	}
	if (dicom_reencode_end(re) != 0)
		return -ENOTSUP;
	hash_digest(h, ret);
	return 0;
}

static bool
canonical_equal(struct comparison *c)
{
	uint8_t ours[HASH_SIZE], far[HASH_SIZE];

	if (c->canonical == NULL || dicom_reencode_end(c->canonical) != 0 ||
	    hash_ours(c, ours) < 0)
		return false;
	hash_digest(c->hash, far);
	return memcmp(ours, far, HASH_SIZE) == 0;
}

static enum stow_found
judge(struct comparison *c)
{
	bool compared = c->same_syntax || c->canonical != NULL;
	int r;

	if (c->same_bytes && c->at == spool_reader_length(c->ours))
		return STOW_EQUAL;
	/* Before the cloud is accused, ours must be what was promised. */
	r = spool_reader_verify(c->ours);
	if (r < 0) {
		stow_unreadable(c->item, r);
		return STOW_DAMAGED;
	}
	if (canonical_equal(c))
		return STOW_EQUAL;
	return c->stow->flavor->transcodes && !compared ? STOW_TRANSCODED :
	    STOW_DIFFERENT;
}

/* ---- asking -------------------------------------------------------------- */

static void
add_escaped(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++) {
		if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
		    (*s >= 'A' && *s <= 'Z') || *s == '.' || *s == '-' ||
		    *s == '_')
			(void)buf_add_char(b, *s);
		else
			(void)buf_printf(b, "%%%02X", (unsigned char)*s);
	}
}

/* "." and ".." would name another thing than an instance. */
static bool
uid_path_ok(const char *uid)
{
	return strspn(uid, ".") < strlen(uid);
}

int
stow_series_path(const struct spool_instance *in, char **ret)
{
	struct buf b = BUF_INIT(1024);

	if (!uid_path_ok(in->study_uid) || !uid_path_ok(in->series_uid))
		return -EINVAL;
	(void)buf_add_str(&b, "/studies/");
	add_escaped(&b, in->study_uid);
	(void)buf_add_str(&b, "/series/");
	add_escaped(&b, in->series_uid);
	if (buf_error(&b) < 0) {
		buf_free(&b);
		return -EINVAL;
	}
	*ret = buf_take(&b);
	return 0;
}

int
stow_instance_path(const struct spool_instance *in, char **ret)
{
	struct buf b = BUF_INIT(1024);
	AUTO_FREE char *series = NULL;

	if (!uid_path_ok(in->sop_instance) || stow_series_path(in, &series) < 0)
		return -EINVAL;
	(void)buf_printf(&b, "%s/instances/", series);
	add_escaped(&b, in->sop_instance);
	if (buf_error(&b) < 0) {
		buf_free(&b);
		return -EINVAL;
	}
	*ret = buf_take(&b);
	return 0;
}

static enum stow_found
say_unknown(struct destination_result *ret, const char *what)
{
	ret->health = DESTINATION_FAILED;
	(void)snprintf(ret->reason, sizeof(ret->reason), "reading back: %s", what);
	return STOW_UNKNOWN;
}

static enum stow_found
judge_reply(struct comparison *c, const struct http_reply *r,
    struct destination_result *ret)
{
	bool whole = r->outcome == HTTP_ANSWERED &&
	    (r->status == 200 || r->status == 206);

	if (r->outcome == HTTP_ANSWERED && (r->status == 404 ||
		r->status == 410 || r->status == 204))
		return STOW_ABSENT;
	if (c->local != 0) {
		stow_unreadable(c->item, c->local);
		return STOW_DAMAGED;
	}
	if (r->outcome == HTTP_LOCAL && c->headed && r->local == -ECANCELED)
		return judge(c);	/* seen enough */
	if (c->unreadable || (whole && !c->begun))
		return say_unknown(ret, "the answer is no DICOM object");
	if (r->outcome == HTTP_LOCAL)
		return say_unknown(ret, "the answer cannot be understood");
	if (!whole) {
		stow_health(r, ret);
		return STOW_UNKNOWN;
	}
	if (c->multipart != NULL && http_multipart_end(c->multipart) < 0)
		return say_unknown(ret, "the answer is cut short");
	if (!c->headed)
		return say_unknown(ret, "the answer holds no DICOM object");
	return judge(c);
}

/* What is kept in another encoding can be had uncompressed, like ours. */
static const char *
accept_of(const struct stow *s, const struct spool_instance *in)
{
	if (!s->flavor->transcodes)
		return ACCEPT;
	return dicom_syntax_convertible(dicom_syntax_find(in->syntax)) ?
	    "application/dicom; transfer-syntax=" DICOM_UID_EXPLICIT_LE :
	    "application/dicom; transfer-syntax=*";
}

/* Where no query shows it. */
static void
name_image_set(const struct destination_item *item, char **path)
{
	const char *id = item->remote + strlen("imageset:");
	char *more;

	if (strncmp(item->remote, "imageset:", strlen("imageset:")) != 0 ||
	    strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(id))
		return;
	more = xasprintf("%s?imageSetId=%s", *path, id);
	free(*path);
	*path = more;
}

enum stow_found
stow_read_back(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	AUTO_FREE char *path = NULL;
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	AUTO(end_comparison) struct comparison c = {
		.stow = s,
		.item = item,
		.reply = &reply,
		.head = BUF_INIT(HEAD_MAX + (1u << 20)),
		.limit = 4 * item->in.length + (64u << 20),
	};
	struct http_request req = {
		.method = "GET",
		.accept = accept_of(s, &item->in),
		.sink = take_reply,
		.sink_arg = &c,
		.deadline_ms = CLOCK_NEVER,
	};
	int r;

	if (stow_instance_path(&item->in, &path) < 0) {
		stow_settle(item, DESTINATION_REFUSED, "the destination cannot be "
		    "asked for an instance of this UID");
		return STOW_DAMAGED;
	}
	r = spool_reader_open(s->spool, item->in.id, &c.ours);
	if (r < 0) {
		stow_unreadable(item, r);
		return STOW_DAMAGED;
	}
	if (s->flavor->transcodes)
		name_image_set(item, &path);
	req.path = path;
	c.hash = hash_new();
	c.data = xcalloc(1, STOW_PORTION);
	(void)http_call(s->http, &req, &reply);
	return judge_reply(&c, &reply, ret);
}
