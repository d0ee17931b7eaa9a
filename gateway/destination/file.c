/* file.c - an instance as the Part 10 file that leaves.
 *
 * A small one is read once, verified, and given from memory from then on. Of a
 * large one the hashes of the whole and of its parts are made in one reading that
 * also verifies the spool's checksum: whoever checks a part's hash when it arrives
 * checks that it is what was promised (invariant 11).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "gateway/base/hash.h"
#include "gateway/destination/file_int.h"
#include "gateway/dicom/part10.h"

#define SMALL	    (1u << 20)	/* data sets up to this are kept in memory */
#define PORTION	    (256u << 10)
#define SHA256_SIZE 32
#define PARTS_MAX   10000

struct instance_file {
	struct spool_reader *reader;
	struct buf	     head;
	uint64_t	     length;	/* with the head */
	uint8_t		    *small;	/* the data set, once verified */
	uint8_t		    *portion;
	int		     error;	/* the first of reading */

	/* Known after one reading. */
	bool	 known;
	uint8_t	 whole[SHA256_SIZE];
	uint64_t part;			/* 0: parts were not asked for */
	uint8_t (*parts)[SHA256_SIZE];
};

DEFINE_CLEANUP(struct hash, hash_free)
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

/* ---- SHA-256 ------------------------------------------------------------- */

static EVP_MD_CTX *
new_digest(void)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (c == NULL || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
		abort();
	return c;
}

static void
update_digest(EVP_MD_CTX *c, const void *data, size_t len)
{
	if (EVP_DigestUpdate(c, data, len) != 1)
		abort();
}

/* Ready for the next one afterwards. */
static void
end_digest(EVP_MD_CTX *c, uint8_t ret[static SHA256_SIZE])
{
	if (EVP_DigestFinal_ex(c, ret, NULL) != 1 ||
	    EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
		abort();
}

static void
print_hex(const uint8_t digest[static SHA256_SIZE], char ret[static 65])
{
	for (size_t i = 0; i < SHA256_SIZE; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

void
sha256_hex(const void *data, size_t len, char ret[static 65])
{
	AUTO(cleanup_EVP_MD_CTX_free) EVP_MD_CTX *c = new_digest();
	uint8_t digest[SHA256_SIZE];

	update_digest(c, data, len);
	end_digest(c, digest);
	print_hex(digest, ret);
}

/* One and the same: OpenSSL's type is not for headers. */
struct sha256 *
sha256_new(void)
{
	return (struct sha256 *)new_digest();
}

void
sha256_free(struct sha256 *h)
{
	EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

void
sha256_update(struct sha256 *h, const void *data, size_t len)
{
	update_digest((EVP_MD_CTX *)h, data, len);
}

void
sha256_end(struct sha256 *h, char ret[static 65])
{
	uint8_t digest[SHA256_SIZE];

	end_digest((EVP_MD_CTX *)h, digest);
	print_hex(digest, ret);
}

/* ---- opening ------------------------------------------------------------- */

static int
make_head(struct instance_file *f, const struct spool_instance *in)
{
	struct dicom_part10 head = { 0 };

	(void)snprintf(head.sop_class, sizeof(head.sop_class), "%s",
	    in->sop_class);
	(void)snprintf(head.sop_instance, sizeof(head.sop_instance), "%s",
	    in->sop_instance);
	(void)snprintf(head.syntax, sizeof(head.syntax), "%s", in->syntax);
	return dicom_part10_write(&f->head, &head);
}

int
instance_file_open(struct spool *sp, const struct spool_instance *in,
    struct instance_file **ret)
{
	AUTO(cleanup_instance_file_close) struct instance_file *f =
	    xcalloc(1, sizeof(*f));
	int r;

	f->head = (struct buf)BUF_INIT(DICOM_PART10_MAX);
	r = spool_reader_open(sp, in->id, &f->reader);
	if (r < 0)
		return r;
	if (spool_reader_length(f->reader) != in->length)
		return -EUCLEAN;
	r = make_head(f, in);
	if (r < 0)
		return r;
	f->length = f->head.len + in->length;
	*ret = TAKE_PTR(f);
	return 0;
}

void
instance_file_close(struct instance_file *f)
{
	if (f == NULL)
		return;
	spool_reader_close(f->reader);
	buf_free(&f->head);
	free(f->small);
	free(f->portion);
	free(f->parts);
	free(f);
}

uint64_t
instance_file_length(const struct instance_file *f)
{
	return f->length;
}

int
instance_file_error(const struct instance_file *f)
{
	return f->error;
}

/* ---- reading ------------------------------------------------------------- */

static int
note_error(struct instance_file *f, int error)
{
	if (f->error == 0)
		f->error = error;
	return error;
}

/* All of len, which must be there. */
static int
read_dataset(struct instance_file *f, uint64_t at, void *data, size_t len)
{
	ssize_t n;

	if (f->small != NULL) {
		memcpy(data, f->small + at, len);
		return 0;
	}
	n = spool_reader_read(f->reader, at, data, len);
	if (n < 0)
		return note_error(f, (int)n);
	return (size_t)n == len ? 0 : note_error(f, -EUCLEAN);
}

ssize_t
instance_file_read(struct instance_file *f, uint64_t at, void *data, size_t len)
{
	size_t from_head = 0;
	int r;

	if (at >= f->length)
		return 0;
	if (len > f->length - at)
		len = (size_t)(f->length - at);
	if (at < f->head.len) {
		from_head = f->head.len - (size_t)at;
		if (from_head > len)
			from_head = len;
		memcpy(data, f->head.data + at, from_head);
	}
	if (from_head == len)
		return (ssize_t)len;
	r = read_dataset(f, at + from_head - f->head.len,
	    (char *)data + from_head, len - from_head);
	return r < 0 ? r : (ssize_t)len;
}

static int
load_small(struct instance_file *f)
{
	size_t len = (size_t)(f->length - f->head.len);
	uint8_t *small = malloc(len > 0 ? len : 1), digest[HASH_SIZE];
	int r;

	if (small == NULL)
		return note_error(f, -ENOMEM);
	r = read_dataset(f, 0, small, len);
	if (r == 0) {
		hash_bytes(small, len, digest);
		if (memcmp(digest, spool_reader_checksum(f->reader),
			HASH_SIZE) != 0)
			r = note_error(f, -EUCLEAN);
	}
	if (r < 0) {
		free(small);
		return r;
	}
	f->small = small;
	return 0;
}

/* ---- hashing ------------------------------------------------------------- */

/* One reading of it all. */
struct reading {
	struct instance_file *f;
	struct hash	*checksum;	/* NULL: in memory, verified */
	EVP_MD_CTX	*whole, *part;	/* part NULL: not wanted */
	uint64_t	 at;
};

static size_t
portion_at(const struct reading *g, uint64_t part)
{
	uint64_t end = g->f->length;

	if (g->part != NULL && (g->at / part + 1) * part < end)
		end = (g->at / part + 1) * part;
	return end - g->at > PORTION ? PORTION : (size_t)(end - g->at);
}

static void
add_portion(struct reading *g, const uint8_t *data, size_t len)
{
	size_t head = g->f->head.len;

	if (g->checksum != NULL && g->at + len > head) {
		size_t skip = g->at < head ? head - (size_t)g->at : 0;

		hash_update(g->checksum, data + skip, len - skip);
	}
	update_digest(g->whole, data, len);
	if (g->part != NULL)
		update_digest(g->part, data, len);
	g->at += len;
}

static int
read_through(struct reading *g, uint64_t part, uint8_t (*parts)[SHA256_SIZE])
{
	struct instance_file *f = g->f;

	while (g->at < f->length) {
		size_t len = portion_at(g, part);
		ssize_t n = instance_file_read(f, g->at, f->portion, len);

		if (n < 0)
			return (int)n;
		assert((size_t)n == len);
		add_portion(g, f->portion, len);
		if (g->part != NULL && (g->at % part == 0 || g->at == f->length))
			end_digest(g->part, parts[(g->at - 1) / part]);
	}
	return 0;
}

static int
check_whole(struct instance_file *f, const struct hash *checksum)
{
	uint8_t digest[HASH_SIZE];

	hash_digest(checksum, digest);
	return memcmp(digest, spool_reader_checksum(f->reader), HASH_SIZE) == 0 ?
	    0 : note_error(f, -EUCLEAN);
}

static int
hash_all(struct instance_file *f, uint64_t part)
{
	size_t n = part > 0 ? (size_t)((f->length + part - 1) / part) : 0;
	AUTO(cleanup_hash_free) struct hash *checksum = hash_new();
	AUTO(cleanup_EVP_MD_CTX_free) EVP_MD_CTX *whole = new_digest();
	AUTO(cleanup_EVP_MD_CTX_free) EVP_MD_CTX *each = NULL;
	AUTO_FREE uint8_t (*parts)[SHA256_SIZE] = NULL;
	struct reading g = { .f = f, .whole = whole };
	int r;

	if (f->length - f->head.len <= SMALL && f->small == NULL) {
		r = load_small(f);
		if (r < 0)
			return r;
	}
	if (f->small == NULL)
		g.checksum = checksum;
	if (part > 0) {
		parts = xcalloc(n, sizeof(*parts));
		g.part = each = new_digest();
	}
	if (f->portion == NULL)
		f->portion = xcalloc(1, PORTION);
	r = read_through(&g, part, parts);
	if (r == 0 && g.checksum != NULL)
		r = check_whole(f, checksum);
	if (r < 0)
		return r;
	end_digest(whole, f->whole);
	free(f->parts);
	f->parts = TAKE_PTR(parts);
	f->part = part;
	f->known = true;
	return 0;
}

int
instance_file_prepare(struct instance_file *f, uint64_t part)
{
	assert(part == 0 || (f->length + part - 1) / part <= PARTS_MAX);
	if (f->error != 0)
		return f->error;
	if (f->known && (part == 0 || part == f->part))
		return 0;
	return hash_all(f, part);
}

static int
hash_range(struct instance_file *f, uint64_t at, uint64_t len,
    uint8_t ret[static SHA256_SIZE])
{
	AUTO(cleanup_EVP_MD_CTX_free) EVP_MD_CTX *c = new_digest();

	if (f->portion == NULL)
		f->portion = xcalloc(1, PORTION);
	while (len > 0) {
		ssize_t n = instance_file_read(f, at, f->portion,
		    len > PORTION ? PORTION : (size_t)len);

		if (n <= 0)
			return n < 0 ? (int)n : -EINVAL;
		update_digest(c, f->portion, (size_t)n);
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	end_digest(c, ret);
	return 0;
}

/* One of the parts that it was prepared for. */
static bool
is_part(const struct instance_file *f, uint64_t at, uint64_t len)
{
	return f->known && f->part > 0 && at % f->part == 0 &&
	    at < f->length && (len == f->part || at + len == f->length) &&
	    len <= f->part;
}

int
instance_file_sha256(struct instance_file *f, uint64_t at, uint64_t len,
    char ret[static 65])
{
	uint8_t digest[SHA256_SIZE];
	int r = 0;

	if (at == 0 && len >= f->length) {
		r = instance_file_prepare(f, 0);
		if (r == 0)
			memcpy(digest, f->whole, sizeof(digest));
	} else if (is_part(f, at, len)) {
		memcpy(digest, f->parts[at / f->part], sizeof(digest));
	} else {
		r = hash_range(f, at, len, digest);
	}
	if (r == 0)
		print_hex(digest, ret);
	return r;
}
