/* dimse_bytes.c - the data set of one instance on its way to a PACS.
 *
 * Invariant 11: nothing damaged is delivered as truth. What is small or must be
 * re-encoded is read, and verified, before its first byte leaves; of the rest the
 * end is held back until the checksum is right, and the association is aborted when
 * it is not, so the PACS never has it as whole. Memory is one portion, or one small
 * instance.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/destination/dimse_int.h"
#include "gateway/dicom/reencode.h"

#define SMALL	(1u << 20)
#define PORTION (64u << 10)
#define INFLATE_PORTION 1024u	/* may become a thousand times as much */

DEFINE_CLEANUP(struct dicom_reencode, dicom_reencode_free)

struct pacs_bytes {
	struct pacs		*p;
	struct destination_item *item;
	const char		*syntax;	/* that leaves */
	struct spool_reader	*reader;
	struct hash		*hash;
	uint64_t		 at, length;	/* of the bytes in the spool */
	bool			 convert;
	uint8_t			*small;		/* the whole, verified */
	uint8_t			*portion;

	/* While it is sent. */
	struct assoc *a;
	uint8_t	      context;
	uint8_t	     *part;		/* collected for the next PDU */
	size_t	      used, part_max;
	uint64_t      sent;
	int	      error;		/* of the association */
};

/* ---- reading --------------------------------------------------------------- */

static void
explain_error(struct destination_item *item, int error)
{
	if (error == -EUCLEAN)
		pacs_settle(item, DESTINATION_DAMAGED, "damaged on this disk: the "
		    "bytes do not match their checksum");
	else if (error == -ENOENT)
		pacs_settle(item, DESTINATION_RETRY, "its bytes are no longer in "
		    "the spool");
	else
		pacs_settle(item, DESTINATION_RETRY, "cannot be read from the "
		    "spool: %s", strerror(-error));
}

/* Of all bytes up to b->at. */
static bool
is_checksum_right(const struct pacs_bytes *b)
{
	uint8_t digest[HASH_SIZE];

	hash_digest(b->hash, digest);
	return memcmp(digest, spool_reader_checksum(b->reader), HASH_SIZE) == 0;
}

/* The next bytes; the last are given out only when all are right. */
static ssize_t
read_bytes(struct pacs_bytes *b, void *data, size_t len)
{
	uint64_t left = b->length - b->at;
	ssize_t n;

	if (len > left)
		len = (size_t)left;
	if (b->small != NULL) {
		memcpy(data, b->small + b->at, len);
		b->at += len;
		return (ssize_t)len;
	}
	n = spool_reader_read(b->reader, b->at, data, len);
	if (n < 0)
		return n;
	if ((size_t)n < len)
		return -EUCLEAN;
	hash_update(b->hash, data, len);
	b->at += len;
	if (b->at == b->length && !is_checksum_right(b))
		return -EUCLEAN;
	return n;
}

static int
load_small(struct pacs_bytes *b)
{
	uint8_t *all = malloc(b->length > 0 ? b->length : 1);
	ssize_t n;

	if (all == NULL)
		return -ENOMEM;
	n = read_bytes(b, all, b->length);
	b->small = all;
	b->at = 0;
	return n < 0 ? (int)n : 0;
}

/* ---- re-encoding ------------------------------------------------------------- */

static struct dicom_reencode *
new_converter(const struct pacs_bytes *b, dicom_sink_fn *fn, void *arg)
{
	const struct dicom_syntax *from = dicom_syntax_find(b->item->in.syntax);

	if (strcmp(b->syntax, DICOM_UID_IMPLICIT_LE) == 0)
		return dicom_reencode_new_implicit(from, fn, arg);
	return dicom_reencode_new(from, fn, arg);
}

static size_t
portion_size(const struct pacs_bytes *b)
{
	return dicom_syntax_find(b->item->in.syntax)->encoding == DICOM_DEFLATED_LE
	    ? INFLATE_PORTION : PORTION;
}

/* All of it through the converter: 0, its error, or one of the disk. */
static int
convert_all(struct pacs_bytes *b, struct dicom_reencode *re)
{
	ssize_t n;
	int e = 0;

	while (e == 0 && b->at < b->length) {
		if (pacs_stopped(b->p) < 0)
			return -ECANCELED;
		n = read_bytes(b, b->portion, portion_size(b));
		if (n < 0)
			return (int)n;
		e = dicom_reencode_feed(re, b->portion, (size_t)n);
	}
	return e == 0 ? dicom_reencode_end(re) : e;
}

/* Whether it can be done is known before the PACS hears of it. */
static int
try_conversion(struct pacs_bytes *b)
{
	AUTO(cleanup_dicom_reencode_free) struct dicom_reencode *re =
	    new_converter(b, NULL, NULL);
	const char *why;
	int e = convert_all(b, re);

	b->at = 0;
	hash_reset(b->hash);
	if (e == 0)
		return 0;
	if (e != -ENOTSUP && e != -EBADMSG)
		return e;
	/* A data set that makes no sense may have been damaged here. */
	if (spool_reader_verify(b->reader) == -EUCLEAN)
		return -EUCLEAN;
	why = dicom_reencode_reason(re);
	pacs_settle(b->item, DESTINATION_REFUSED, "%s does not take %s, and it "
	    "cannot be re-encoded: %s", b->p->o->ae_title,
	    dicom_syntax_find(b->item->in.syntax)->name,
	    why != NULL && why[0] != '\0' ? why : "it is not readable");
	return e;
}

/* ---- opening ----------------------------------------------------------------- */

static int
open_bytes(struct pacs_bytes *b)
{
	const struct spool_instance *in = &b->item->in;
	int e;

	e = spool_reader_open(b->p->spool, in->id, &b->reader);
	if (e < 0)
		return e;
	b->length = spool_reader_length(b->reader);
	if (b->length != in->length)
		return -EUCLEAN;
	if (b->length <= SMALL)
		e = load_small(b);
	if (e == 0 && b->convert)
		e = try_conversion(b);
	return e;
}

struct pacs_bytes *
pacs_bytes_open(struct pacs *p, struct destination_item *item, const char *syntax)
{
	struct pacs_bytes *b = xcalloc(1, sizeof(*b));
	int e;

	b->p = p;
	b->item = item;
	b->syntax = syntax;
	b->convert = strcmp(syntax, item->in.syntax) != 0;
	b->hash = hash_new();
	b->portion = xcalloc(1, PORTION);
	e = open_bytes(b);
	if (e == 0)
		return b;
	if (item->verdict == DESTINATION_RETRY && e != -ECANCELED)
		explain_error(item, e);
	pacs_bytes_close(b);
	return NULL;
}

void
pacs_bytes_close(struct pacs_bytes *b)
{
	if (b == NULL)
		return;
	spool_reader_close(b->reader);
	hash_free(b->hash);
	free(b->small);
	free(b->portion);
	free(b->part);
	free(b);
}

/* ---- sending ----------------------------------------------------------------- */

/* Even, and at least two bytes, as fragments are; 1..want. */
static int
take_tokens(struct pacs_bytes *b, size_t want, size_t *ret)
{
	bool urgent = b->item->in.priority == SPOOL_STAT;
	int64_t again;
	size_t n;
	int e;

	for (;;) {
		e = rate_take(b->p->rate, want, urgent, clock_mono_ms(), &n, &again);
		if (e < 0)
			return e;
		if (n == 1 && want > 1) {
			rate_give_back(b->p->rate, n);
			n = 0;
		}
		if (n > 0)
			break;
		e = pacs_pause(b->p, again);
		if (e < 0)
			return e;
	}
	if (n < want && n % 2 != 0) {
		rate_give_back(b->p->rate, 1);
		n--;
	}
	*ret = n;
	return 0;
}

/* Writes what is collected; last: and that is all. */
static int
write_part(struct pacs_bytes *b, bool last)
{
	size_t at = 0, n = 0;

	do {
		size_t left = b->used - at;

		b->error = pacs_stopped(b->p);
		if (b->error == 0 && left > 0)
			b->error = take_tokens(b, left, &n);
		if (b->error == 0)
			b->error = assoc_write_part(b->a, b->context, false,
			    last && n == left, b->part + at, n);
		if (b->error < 0)
			return b->error;
		at += n;
		b->sent += n;
	} while (at < b->used);
	b->used = 0;
	return 0;
}

/* The sink of the converter. A full part waits for the next byte, since it might be
 * the last. */
static int
collect(void *arg, const void *data, size_t len)
{
	struct pacs_bytes *b = arg;
	const uint8_t *from = data;
	size_t n;

	while (len > 0) {
		if (b->used == b->part_max && write_part(b, false) < 0)
			return -ECONNABORTED;
		n = b->part_max - b->used;
		if (n > len)
			n = len;
		memcpy(b->part + b->used, from, n);
		b->used += n;
		from += n;
		len -= n;
	}
	return 0;
}

static int
send_converted(struct pacs_bytes *b)
{
	AUTO(cleanup_dicom_reencode_free) struct dicom_reencode *re =
	    new_converter(b, collect, b);
	int e = convert_all(b, re);

	return e == 0 ? write_part(b, true) : e;
}

static int
send_original(struct pacs_bytes *b)
{
	ssize_t n;
	int e;

	do {
		n = read_bytes(b, b->part, b->part_max);
		if (n < 0)
			return (int)n;
		b->used = (size_t)n;
		e = write_part(b, b->at == b->length);
	} while (e == 0 && b->at < b->length);
	return e;
}

enum pacs_sending
pacs_bytes_send(struct pacs_bytes *b, struct assoc *a, uint8_t context,
    uint64_t *ret_sent, int *ret_error)
{
	bool urgent = b->item->in.priority == SPOOL_STAT;
	int e;

	b->a = a;
	b->context = context;
	b->part_max = assoc_part_max(a);
	b->part = xcalloc(1, b->part_max);
	if (urgent)
		rate_urgent_begin(b->p->rate);
	e = b->convert ? send_converted(b) : send_original(b);
	if (urgent)
		rate_urgent_end(b->p->rate);
	*ret_sent = b->sent;
	if (e == 0)
		return PACS_SENT;
	if (b->error < 0 || e == -ECANCELED) {
		*ret_error = b->error < 0 ? b->error : e;
		return PACS_BROKEN;
	}
	/* It was in order a moment ago: the disk gives what it likes. */
	explain_error(b->item, e == -EBADMSG || e == -ENOTSUP ? -EUCLEAN : e);
	return PACS_SPOILED;
}
