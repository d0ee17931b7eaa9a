/* fuzz_reencode.c - libFuzzer: the converter on anything.
 *
 * The first byte chooses the encoding and the portions, the rest is the data
 * set. Besides what the sanitizers see it is checked that portions do not matter,
 * that the length is what was written, that a dry run which passes over what it
 * may counts the same, and that what comes out is explicit little endian which
 * converts to itself.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/cleanup.h"
#include "gateway/dicom/reencode.h"

#define OUT_MAX (64u << 20)

static int
collect(void *arg, const void *data, size_t len)
{
	assert(len > 0);
	return buf_add(arg, data, len);
}

/* Each portion lies in memory of its own, so that reading past it shows. */
static int
feed_copies(struct dicom_reencode *r, const uint8_t *data, size_t len,
    size_t portion)
{
	int error = 0;

	while (len > 0 && error == 0) {
		size_t n = len < portion ? len : portion;
		AUTO_FREE uint8_t *copy = malloc(n);

		memcpy(copy, data, n);
		error = dicom_reencode_feed(r, copy, n);
		data += n;
		len -= n;
	}
	return error == 0 ? dicom_reencode_end(r) : error;
}

static int
convert(const char *syntax, bool compared, const uint8_t *data, size_t len,
    size_t portion, struct buf *out)
{
	const struct dicom_syntax *s = dicom_syntax_find(syntax);
	struct dicom_reencode *r = compared ?
	    dicom_reencode_new_compare(s, collect, out) :
	    dicom_reencode_new(s, collect, out);
	int error = feed_copies(r, data, len, portion);

	assert(error == 0 || error == -EBADMSG || error == -ENOTSUP);
	assert((error != 0) == (dicom_reencode_reason(r)[0] != '\0'));
	assert(error != 0 || dicom_reencode_length(r) == out->len);
	dicom_reencode_free(r);
	return error;
}

static void
check_dry_run(const char *syntax, const uint8_t *data, size_t len,
    uint64_t want)
{
	struct dicom_reencode *r =
	    dicom_reencode_new(dicom_syntax_find(syntax), NULL, NULL);
	size_t at = 0;

	while (at < len) {
		uint64_t skip = dicom_reencode_skippable(r);

		if (skip > len - at)
			skip = len - at;
		dicom_reencode_skipped(r, skip);
		at += (size_t)skip;
		if (at < len)
			assert(dicom_reencode_feed(r, data + at++, 1) == 0);
	}
	assert(dicom_reencode_end(r) == 0);
	assert(dicom_reencode_length(r) == want);
	dicom_reencode_free(r);
}

static void
expect_same(const struct buf *a, const struct buf *b)
{
	assert(a->len == b->len);
	assert(a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const syntaxes[] = { DICOM_UID_IMPLICIT_LE,
		DICOM_UID_EXPLICIT_LE, DICOM_UID_EXPLICIT_BE,
		DICOM_UID_DEFLATED_LE };
	struct buf whole = BUF_INIT(OUT_MAX), parts = BUF_INIT(OUT_MAX);
	struct buf again = BUF_INIT(OUT_MAX), compared = BUF_INIT(OUT_MAX);
	const char *syntax;
	size_t portion;
	int error;

	if (len == 0)
		return 0;
	syntax = syntaxes[data[0] & 3];
	portion = 1 + (data[0] >> 2);
	data++;
	len--;

	error = convert(syntax, false, data, len, len + 1, &whole);
	assert(convert(syntax, false, data, len, portion, &parts) == error);
	if (error == 0) {
		expect_same(&whole, &parts);
		check_dry_run(syntax, data, len, whole.len);
		assert(convert(DICOM_UID_EXPLICIT_LE, false,
		    (const uint8_t *)whole.data, whole.len, 4096, &again) == 0);
		expect_same(&whole, &again);
	}
	(void)convert(syntax, true, data, len, portion, &compared);
	buf_free(&whole);
	buf_free(&parts);
	buf_free(&again);
	buf_free(&compared);
	return 0;
}
