/* stow_body.c - the body of a STOW request, made while it is sent.
 *
 * multipart/related with one Part 10 file per instance. Its exact length is
 * known before the first byte: originals have theirs in the index, the others
 * are re-encoded once without output. Memory is one small instance or one
 * portion, whatever the sizes.
 *
 * Invariant 11: nothing damaged is delivered as truth. A small instance is
 * verified before its first byte leaves; of a large one the last bytes are held
 * back until its checksum is right, so the server can never take it as whole.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/base/hash.h"
#include "gateway/destination/stow_int.h"
#include "gateway/dicom/part10.h"

#define INFLATE_PORTION 1024u	/* may become a thousand times as much */
#define PENDING_MAX	(4u << 20)

enum stage { STAGE_HEAD, STAGE_DATA, STAGE_END, STAGE_DONE };

struct stow_body {
	struct stow	 *stow;
	struct stow_part *parts;
	size_t		  n;
	uint64_t	  length;
	char		  boundary[48];
	char		  type[128];

	/* What streams now. */
	enum stage	       stage;
	size_t		       part;
	struct spool_reader   *reader;
	struct dicom_reencode *reencode;
	struct hash	      *hash;
	uint64_t	       at;	/* of the bytes in the spool */
	uint8_t		      *small;	/* the whole instance, verified */
	uint8_t		      *portion;
	struct buf	       pending;	/* made, not yet given */
	size_t		       given;	/* of pending */
};

/* ---- measuring ----------------------------------------------------------- */

static const char *
leaving_syntax(const struct stow_part *p)
{
	return p->reencode ? DICOM_UID_EXPLICIT_LE : p->item->in.syntax;
}

static int
add_head(const struct stow_body *b, const struct stow_part *p, struct buf *out)
{
	struct buf file = BUF_INIT(DICOM_PART10_MAX);
	struct dicom_part10 head = { 0 };
	int r;

	(void)snprintf(head.sop_class, sizeof(head.sop_class), "%s",
	    p->item->in.sop_class);
	(void)snprintf(head.sop_instance, sizeof(head.sop_instance), "%s",
	    p->item->in.sop_instance);
	(void)snprintf(head.syntax, sizeof(head.syntax), "%s", leaving_syntax(p));
	r = dicom_part10_write(&file, &head);
	if (r == 0)
		r = buf_printf(out, "--%s\r\nContent-Type: application/dicom\r\n"
		    "Content-Length: %" PRIu64 "\r\n\r\n", b->boundary,
		    file.len + p->length);
	if (r == 0)
		r = buf_add(out, file.data, file.len);
	buf_free(&file);
	return r;
}

static bool
needs_reencoding(const struct stow *s, const struct spool_instance *in)
{
	const struct dicom_syntax *syntax = dicom_syntax_find(in->syntax);

	return !s->flavor->originals && dicom_syntax_convertible(syntax) &&
	    strcmp(in->syntax, DICOM_UID_EXPLICIT_LE) != 0;
}

static size_t
portion_size(const struct spool_instance *in)
{
	return dicom_syntax_find(in->syntax)->encoding == DICOM_DEFLATED_LE ?
	    INFLATE_PORTION : STOW_PORTION;
}

/* Counts what leaves; plain values, pixels above all, are passed over unread. */
static int
count_reencoded(struct spool_reader *r, struct dicom_reencode *re, size_t portion)
{
	uint8_t data[STOW_PORTION];
	uint64_t at = 0, size = spool_reader_length(r);
	int error;

	while (at < size) {
		uint64_t skip = dicom_reencode_skippable(re);
		ssize_t n;

		if (skip > size - at)
			skip = size - at;
		if (skip >= portion) {
			dicom_reencode_skipped(re, skip);
			at += skip;
			continue;
		}
		n = spool_reader_read(r, at, data, portion);
		if (n <= 0)
			return n < 0 ? (int)n : -EUCLEAN;
		error = dicom_reencode_feed(re, data, (size_t)n);
		if (error != 0)
			return error;
		at += (uint64_t)n;
	}
	return dicom_reencode_end(re);
}

static void
refuse_inconvertible(struct destination_item *item, struct spool_reader *r,
    const struct dicom_reencode *re)
{
	const char *reason = dicom_reencode_reason(re);

	/* A data set that makes no sense may have been damaged here. */
	if (spool_reader_verify(r) == -EUCLEAN) {
		stow_unreadable(item, -EUCLEAN);
		return;
	}
	stow_settle(item, DESTINATION_REFUSED, "%s cannot be re-encoded for this "
	    "destination: %s", dicom_syntax_find(item->in.syntax)->name,
	    reason != NULL && reason[0] != '\0' ? reason : "it is not readable");
}

/* True when the part can be sent. */
static bool
measure(struct stow *s, struct stow_part *p)
{
	const struct spool_instance *in = &p->item->in;
	AUTO(cleanup_spool_reader_close) struct spool_reader *r = NULL;
	AUTO(cleanup_dicom_reencode_free) struct dicom_reencode *re = NULL;
	int error;

	p->reencode = needs_reencoding(s, in);
	p->length = in->length;
	if (!p->reencode)
		return true;
	error = spool_reader_open(s->spool, in->id, &r);
	if (error < 0) {
		stow_unreadable(p->item, error);
		return false;
	}
	re = dicom_reencode_new(dicom_syntax_find(in->syntax), NULL, NULL);
	error = count_reencoded(r, re, portion_size(in));
	if (error == -ENOTSUP || error == -EBADMSG || error == -EFBIG) {
		refuse_inconvertible(p->item, r, re);
		return false;
	}
	if (error != 0) {
		stow_unreadable(p->item, error);
		return false;
	}
	p->length = dicom_reencode_length(re);
	return true;
}

void
stow_unreadable(struct destination_item *item, int error)
{
	if (error == -EUCLEAN)
		stow_settle(item, DESTINATION_DAMAGED, "damaged on this disk: the "
		    "bytes do not match their checksum");
	else if (error == -ENOENT)
		stow_settle(item, DESTINATION_RETRY, "its bytes are no longer in "
		    "the spool");
	else
		stow_settle(item, DESTINATION_RETRY, "cannot be read from the "
		    "spool: %s", strerror(-error));
}

static void
make_boundary(struct stow_body *b)
{
	uint64_t random[2];

	/* Blocks only while the machine boots; 16 bytes are never cut short. */
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort();
	(void)snprintf(b->boundary, sizeof(b->boundary), "causeway%016" PRIx64
	    "%016" PRIx64, random[0], random[1]);
	(void)snprintf(b->type, sizeof(b->type), "multipart/related; "
	    "type=\"application/dicom\"; boundary=%s", b->boundary);
}

static uint64_t
part_length(struct stow_body *b, const struct stow_part *p)
{
	uint64_t len;

	buf_clear(&b->pending);
	if (add_head(b, p, &b->pending) < 0)
		abort();	/* bounded by its own constants */
	len = b->pending.len + p->length + strlen("\r\n");
	buf_clear(&b->pending);
	return len;
}

struct stow_body *
stow_body_new(struct stow *s, struct destination_item **items, size_t n)
{
	struct stow_body *b = xcalloc(1, sizeof(*b));

	b->stow = s;
	b->parts = xcalloc(n, sizeof(*b->parts));
	b->pending = (struct buf)BUF_INIT(PENDING_MAX);
	b->portion = xcalloc(1, STOW_PORTION);
	b->hash = hash_new();
	make_boundary(b);
	for (size_t i = 0; i < n; i++) {
		struct stow_part p = { .item = items[i] };

		if (!measure(s, &p))
			continue;
		b->length += part_length(b, &p);
		b->parts[b->n++] = p;
	}
	b->length += strlen("--") + strlen(b->boundary) + strlen("--\r\n");
	return b;
}

/* ---- streaming ----------------------------------------------------------- */

static void
end_part(struct stow_body *b)
{
	spool_reader_close(TAKE_PTR(b->reader));
	dicom_reencode_free(TAKE_PTR(b->reencode));
	free(TAKE_PTR(b->small));
	b->at = 0;
}

void
stow_body_free(struct stow_body *b)
{
	if (b == NULL)
		return;
	end_part(b);
	hash_free(b->hash);
	buf_free(&b->pending);
	free(b->portion);
	free(b->parts);
	free(b);
}

size_t
stow_body_parts(const struct stow_body *b, const struct stow_part **ret)
{
	*ret = b->parts;
	return b->n;
}

uint64_t
stow_body_length(const struct stow_body *b)
{
	return b->length;
}

const char *
stow_body_type(const struct stow_body *b)
{
	return b->type;
}

int
stow_body_rewind(void *body)
{
	struct stow_body *b = body;

	end_part(b);
	buf_clear(&b->pending);
	b->given = b->part = 0;
	b->stage = STAGE_HEAD;
	return 0;
}

static int
add_pending(void *arg, const void *data, size_t len)
{
	struct stow_body *b = arg;

	return buf_add(&b->pending, data, len);
}

/* Of all bytes up to b->at. */
static bool
checksum_right(struct stow_body *b)
{
	uint8_t digest[HASH_SIZE];

	hash_digest(b->hash, digest);
	return memcmp(digest, spool_reader_checksum(b->reader), HASH_SIZE) == 0;
}

/* The next bytes of the spool; the last are given out only when all are right. */
static ssize_t
read_verified(struct stow_body *b, void *data, size_t len)
{
	uint64_t left = spool_reader_length(b->reader) - b->at;
	ssize_t n;

	if (len > left)
		len = (size_t)left;
	n = spool_reader_read(b->reader, b->at, data, len);
	if (n < 0)
		return n;
	if ((size_t)n < len)
		return -EUCLEAN;
	hash_update(b->hash, data, len);
	b->at += len;
	if (b->at == spool_reader_length(b->reader) && !checksum_right(b))
		return -EUCLEAN;
	return n;
}

static int
load_small(struct stow_body *b, const struct spool_instance *in)
{
	ssize_t n;

	b->small = malloc(in->length > 0 ? in->length : 1);
	if (b->small == NULL)
		return -ENOMEM;
	n = read_verified(b, b->small, in->length);
	b->at = 0;
	return n < 0 ? (int)n : 0;
}

static int
begin_part(struct stow_body *b)
{
	const struct stow_part *p = &b->parts[b->part];
	const struct spool_instance *in = &p->item->in;
	int r;

	r = spool_reader_open(b->stow->spool, in->id, &b->reader);
	if (r < 0)
		return r;
	if (spool_reader_length(b->reader) != in->length)
		return -EUCLEAN;
	hash_reset(b->hash);
	if (in->length <= STOW_SMALL) {
		r = load_small(b, in);
		if (r < 0)
			return r;
	}
	if (p->reencode)
		b->reencode = dicom_reencode_new(dicom_syntax_find(in->syntax),
		    add_pending, b);
	b->stage = STAGE_DATA;
	return add_head(b, p, &b->pending);
}

/* Up to len bytes as they are in the spool, verified or on their way to be. */
static ssize_t
take_bytes(struct stow_body *b, void *data, size_t len)
{
	uint64_t left = spool_reader_length(b->reader) - b->at;

	if (b->small == NULL)
		return read_verified(b, data, len);
	if (len > left)
		len = (size_t)left;
	memcpy(data, b->small + b->at, len);
	b->at += len;
	return (ssize_t)len;
}

static int
reencode_portion(struct stow_body *b)
{
	const struct stow_part *p = &b->parts[b->part];
	ssize_t n = take_bytes(b, b->portion, portion_size(&p->item->in));
	int r;

	if (n < 0)
		return (int)n;
	r = dicom_reencode_feed(b->reencode, b->portion, (size_t)n);
	if (r == 0 && b->at == spool_reader_length(b->reader))
		r = dicom_reencode_end(b->reencode);
	if (r != 0)
		return r;
	if (b->at < spool_reader_length(b->reader))
		return 0;
	b->stage = STAGE_END;
	/* Measured otherwise a moment ago: the disk gives what it likes. */
	return dicom_reencode_length(b->reencode) == p->length ? 0 : -EUCLEAN;
}

static int
finish_part(struct stow_body *b)
{
	int r = buf_add_str(&b->pending, "\r\n");

	end_part(b);
	b->stage = STAGE_HEAD;
	if (++b->part < b->n)
		return r;
	b->stage = STAGE_DONE;
	return buf_printf(&b->pending, "--%s--\r\n", b->boundary);
}

/* Makes something: in pending, or straight in data (returns its length). */
static ssize_t
produce(struct stow_body *b, void *data, size_t size)
{
	ssize_t n;

	switch (b->stage) {
	case STAGE_HEAD:
		return begin_part(b);
	case STAGE_DATA:
		if (b->reencode != NULL)
			return reencode_portion(b);
		n = take_bytes(b, data, size);
		if (n >= 0 && b->at == spool_reader_length(b->reader))
			b->stage = STAGE_END;
		return n;
	case STAGE_END:
		return finish_part(b);
	case STAGE_DONE:
		break;
	}
	return 0;
}

static size_t
take_pending(struct stow_body *b, void *data, size_t size)
{
	size_t n = b->pending.len - b->given;

	if (n > size)
		n = size;
	if (n > 0)
		memcpy(data, b->pending.data + b->given, n);
	b->given += n;
	if (b->given == b->pending.len) {
		buf_clear(&b->pending);
		b->given = 0;
	}
	return n;
}

ssize_t
stow_body_give(void *body, void *data, size_t size)
{
	struct stow_body *b = body;
	size_t filled = 0;

	while (filled < size) {
		ssize_t n = (ssize_t)take_pending(b, (char *)data + filled,
		    size - filled);

		if (n == 0 && b->stage == STAGE_DONE)
			break;
		if (n == 0)
			n = produce(b, (char *)data + filled, size - filled);
		if (n < 0) {
			assert(b->part < b->n);
			stow_unreadable(b->parts[b->part].item, (int)n);
			return n;
		}
		filled += (size_t)n;
	}
	return (ssize_t)filled;
}
