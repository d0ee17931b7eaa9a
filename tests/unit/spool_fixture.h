/* spool_fixture.h - a real spool in a directory of its own, and objects to put in
 * it, for unit tests.
 */
#ifndef CW_TESTS_SPOOL_FIXTURE_H
#define CW_TESTS_SPOOL_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/buf.h"
#include "gateway/base/cleanup.h"
#include "spool/spool.h"

#define CT "1.2.840.10008.5.1.4.1.1.2"

struct box {
	char dir[128];
	struct spool *sp;
};

static void
open_box(struct box *b)
{
	struct spool_options o = { .directory = b->dir, .reserve = 1 << 20,
		.keep_delivered_ms = 7 * 86400000LL, .keep_index_ms = 86400000LL * 365 };
	struct buf why = BUF_INIT(4096);
	int r = spool_open(&o, &b->sp, &why);

	if (r < 0)
		print_error("spool_open: %d %s\n", r, why.data);
	buf_free(&why);
	assert_int_equal(r, 0);
}

static inline int
setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(b->dir, sizeof(b->dir), "%s/spoolXXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	open_box(b);
	*state = b;
	return 0;
}

static inline int
teardown(void **state)
{
	struct box *b = *state;
	char cmd[256];

	spool_close(b->sp);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", b->dir);
	(void)!system(cmd);
	free(b);
	return 0;
}

static inline void
reopen(struct box *b)
{
	spool_close(TAKE_PTR(b->sp));
	open_box(b);
}

/* ---- objects: explicit little endian, an element of any size at the end ---- */

static void
element(struct buf *b, unsigned g, unsigned e, const char *vr, const char *v)
{
	char text[400];
	size_t n = strlen(v);
	uint8_t h[8] = { (uint8_t)g, (uint8_t)(g >> 8), (uint8_t)e, (uint8_t)(e >> 8),
		(uint8_t)vr[0], (uint8_t)vr[1], 0, 0 };

	memcpy(text, v, n);
	if (n % 2 != 0)
		text[n++] = vr[0] == 'U' ? '\0' : ' ';
	h[6] = (uint8_t)n;
	h[7] = (uint8_t)(n >> 8);
	(void)buf_add(b, h, 8);
	(void)buf_add(b, text, n);
}

static void
make_object(struct buf *b, const char *study, const char *sop, size_t pixels, uint8_t fill)
{
	uint8_t h[12] = { 0xe0, 0x7f, 0x10, 0x00, 'O', 'W', 0, 0 };
	uint8_t *px = malloc(pixels + 1);

	element(b, 8, 0x16, "UI", CT);
	element(b, 8, 0x18, "UI", sop);
	element(b, 8, 0x50, "SH", "A77");
	element(b, 8, 0x60, "CS", "CT");
	element(b, 0x10, 0x10, "PN", "Doe^Jane");
	element(b, 0x10, 0x20, "LO", "PID1");
	element(b, 0x20, 0x0d, "UI", study);
	element(b, 0x20, 0x0e, "UI", "1.2.3.4.5");
	h[8] = (uint8_t)pixels;
	h[9] = (uint8_t)(pixels >> 8);
	h[10] = (uint8_t)(pixels >> 16);
	h[11] = (uint8_t)(pixels >> 24);
	(void)buf_add(b, h, 12);
	for (size_t i = 0; i < pixels; i++)
		px[i] = (uint8_t)(fill + i * 7);
	(void)buf_add(b, px, pixels);
	free(px);
	assert_int_equal(buf_error(b), 0);
}

/* The destination that objects are stored for; NULL: routes decide. */
static const char *stored_for;

static int
store_as(struct spool *sp, const char *syntax, const char *sop, const struct buf *obj,
    struct spool_receipt *ret)
{
	struct spool_origin from = { "CT1", "CAUSEWAY", "10.0.0.1" };
	struct spool_source *src = spool_source_open(sp, &from);
	struct spool_put_head head = { .sop_class = CT, .priority = SPOOL_NORMAL,
		.to = stored_for };
	struct dicom_head_reader *hr;
	struct spool_put *put;
	int r, h = 0;

	(void)strncpy(head.sop_instance, sop, DICOM_UID_MAX);
	(void)strncpy(head.syntax, syntax, DICOM_UID_MAX);
	hr = dicom_head_reader_new(dicom_syntax_find(syntax));
	r = spool_put_begin(src, &head, &put);
	for (size_t at = 0; r == 0 && at < obj->len; at += 16384) {
		size_t n = obj->len - at < 16384 ? obj->len - at : 16384;

		(void)spool_put_write(put, obj->data + at, n);
		if (h == 0)
			h = dicom_head_reader_feed(hr, obj->data + at, n);
	}
	if (r == 0) {
		spool_put_describe(put, dicom_head_reader_head(hr));
		r = spool_commit(&put, ret);
	}
	dicom_head_reader_free(hr);
	spool_source_close(src);
	return r;
}

static inline uint64_t
store(struct box *b, const char *study, const char *sop, size_t pixels, uint8_t fill,
    struct spool_receipt *ret)
{
	struct spool_receipt rec = { 0 };
	struct buf obj = BUF_INIT(32u << 20);

	make_object(&obj, study, sop, pixels, fill);
	assert_int_equal(store_as(b->sp, DICOM_UID_EXPLICIT_LE, sop, &obj, &rec), 0);
	buf_free(&obj);
	if (ret != NULL)
		*ret = rec;
	return rec.id;
}

#endif
