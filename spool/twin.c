/* twin.c - is this the object that we already have (rules 2 and 3)?
 *
 * The index answers by length and checksum; then the bytes themselves are
 * compared, since the checksum is no proof. If they differ, and both are
 * uncompressed, their explicit little endian forms are: a scanner that falls back
 * to implicit VR has not made a version.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/reencode.h"
#include "spool/put_int.h"

#define COMPARE_STEP (64u << 10)

DEFINE_CLEANUP(struct spool_reader, spool_reader_close)
DEFINE_CLEANUP(struct dicom_reencode, dicom_reencode_free)
DEFINE_CLEANUP(struct hash, hash_free)

int
put_read(struct spool_put *put, uint64_t at, void *data, size_t len)
{
	uint8_t *p = data;

	if (at + len > put->length)
		return -EINVAL;
	if (put->own != NULL)
		return store_own_read(put->own, at, data, len);
	while (len > 0) {
		size_t off = at % PUT_CHUNK;
		size_t n = len < PUT_CHUNK - off ? len : PUT_CHUNK - off;

		memcpy(p, put->chunk[at / PUT_CHUNK]->data + off, n);
		p += n;
		at += n;
		len -= n;
	}
	return 0;
}

/* 1 equal, 0 different, or an error. */
static int
compare_bytes(struct spool_put *put, struct spool_reader *r)
{
	AUTO_FREE uint8_t *buf = malloc(2 * COMPARE_STEP);

	if (buf == NULL)
		return -ENOMEM;
	if (spool_reader_length(r) != put->length)
		return 0;
	for (uint64_t at = 0; at < put->length; at += COMPARE_STEP) {
		uint64_t left = put->length - at;
		size_t n = left < COMPARE_STEP ? left : COMPARE_STEP;
		ssize_t got = spool_reader_read(r, at, buf, n);
		int k;

		if (got < 0)
			return (int)got;
		k = put_read(put, at, buf + COMPARE_STEP, n);
		if (k < 0)
			return k;
		if ((size_t)got != n || memcmp(buf, buf + COMPARE_STEP, n) != 0)
			return 0;
	}
	return 1;
}

static int
hash_portion(void *arg, const void *data, size_t len)
{
	hash_update(arg, data, len);
	return 0;
}

/* One of the two is NULL. */
static int
canonical_hash(struct spool_put *put, struct spool_reader *r,
    const struct dicom_syntax *syntax, uint64_t length, uint8_t ret[HASH_SIZE])
{
	struct hash *h AUTO(cleanup_hash_free) = hash_new();
	struct dicom_reencode *re AUTO(cleanup_dicom_reencode_free) =
	    dicom_reencode_new_compare(syntax, hash_portion, h);
	AUTO_FREE uint8_t *buf = malloc(COMPARE_STEP);
	int k = buf == NULL ? -ENOMEM : 0;

	for (uint64_t at = 0; at < length && k == 0; at += COMPARE_STEP) {
		uint64_t left = length - at;
		size_t n = left < COMPARE_STEP ? left : COMPARE_STEP;

		if (put != NULL) {
			k = put_read(put, at, buf, n);
		} else {
			ssize_t got = spool_reader_read(r, at, buf, n);

			k = got < 0 ? (int)got : (size_t)got != n ? -EUCLEAN : 0;
		}
		if (k == 0)
			k = dicom_reencode_feed(re, buf, n);
	}
	if (k == 0)
		k = dicom_reencode_end(re);
	if (k == 0)
		hash_digest(h, ret);
	return k;
}

/* 1 the same data set, 0 not (or not to be told), or an error. */
static int
compare_canonical(struct spool_put *put, struct spool_reader *r)
{
	const struct dicom_syntax *mine = dicom_syntax_find(put->head.syntax);
	const struct dicom_syntax *other = dicom_syntax_find(spool_reader_syntax(r));
	uint8_t a[HASH_SIZE], b[HASH_SIZE];
	int k;

	if (!dicom_syntax_convertible(mine) || !dicom_syntax_convertible(other))
		return 0;
	k = canonical_hash(put, NULL, mine, put->length, a);
	if (k == 0)
		k = canonical_hash(NULL, r, other, spool_reader_length(r), b);
	if (k == -EBADMSG || k == -ENOTSUP)
		return 0;
	return k < 0 ? k : memcmp(a, b, HASH_SIZE) == 0;
}

/* 1 the same, 0 not. Bytes that cannot be read are no twin: the new ones are kept
 * as a version rather than lost. */
static int
same_object(struct spool_put *put, const struct index_known *known, bool canonical)
{
	struct spool_reader *r AUTO(cleanup_spool_reader_close) = NULL;
	int k;

	if (!known->kept || known->damaged)
		return 0;
	if (spool_reader_open(put->sp, known->id, &r) < 0)
		return 0;
	k = canonical ? compare_canonical(put, r) : compare_bytes(put, r);
	return k == -ENOENT || k == -EIO || k == -EUCLEAN ? 0 : k;
}

int
put_find_twin(struct spool_put *put, struct index_known *ret,
    enum put_twin *ret_twin)
{
	const char *uid = put->head.sop_instance;
	struct index_known same, latest;
	struct index_reader *ir;
	int found_same, found_latest, k;

	ir = spool_reader_take(put->sp, &k);
	if (ir == NULL)
		return k;
	found_latest = index_reader_latest(ir, uid, &latest);
	found_same = found_latest < 0 ? found_latest :
	    index_reader_same(ir, uid, put->length, put->checksum, &same);
	spool_reader_give(put->sp, ir);

	if (found_latest == -ENOENT) {
		*ret_twin = PUT_TWIN_NONE;
		return 0;
	}
	if (found_latest < 0 || (found_same < 0 && found_same != -ENOENT))
		return found_latest < 0 ? found_latest : found_same;

	if (found_same == 0) {
		k = same_object(put, &same, false);
		if (k < 0)
			return k;
		if (k > 0) {
			*ret = same;
			*ret_twin = PUT_TWIN_HERE;
			return 0;
		}
		if (!same.kept) {
			*ret_twin = PUT_TWIN_GONE;
			return 0;
		}
		put->compared = same.id;
	}
	k = same_object(put, &latest, true);
	if (k < 0)
		return k;
	*ret = latest;
	*ret_twin = k > 0 ? PUT_TWIN_HERE : PUT_TWIN_OTHER;
	return 0;
}
