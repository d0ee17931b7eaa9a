/* dicom_fixture.h - data sets built byte by byte for the tests of gateway/dicom,
 * a seeded source of accidents, and the real objects of CAUSEWAY_TEST_DATA.
 */
#ifndef CW_TESTS_DICOM_FIXTURE_H
#define CW_TESTS_DICOM_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/dicom/part10.h"
#include "gateway/dicom/scan.h"
#include "gateway/dicom/uid.h"
#include "gateway/dicom/vr.h"

#define FIXTURE_MAX (32u << 20)

#define ITEM	       0xfffee000u
#define ITEM_DELIM     0xfffee00du
#define SEQUENCE_DELIM 0xfffee0ddu
#define PIXEL_DATA     0x7fe00010u

static inline void
put_number(struct buf *b, bool big, unsigned bytes, uint32_t v)
{
	for (unsigned i = 0; i < bytes; i++)
		(void)buf_add_char(b, (char)(v >> 8 * (big ? bytes - 1 - i : i)));
}

static inline void
put_tag(struct buf *b, enum dicom_encoding enc, dicom_tag_t tag)
{
	put_number(b, enc == DICOM_EXPLICIT_BE, 2, tag >> 16);
	put_number(b, enc == DICOM_EXPLICIT_BE, 2, tag & 0xffff);
}

/* Items and delimiters. */
static inline void
put_marker(struct buf *b, enum dicom_encoding enc, dicom_tag_t tag, uint32_t len)
{
	put_tag(b, enc, tag);
	put_number(b, enc == DICOM_EXPLICIT_BE, 4, len);
}

static inline void
put_header(struct buf *b, enum dicom_encoding enc, dicom_tag_t tag,
    const char *vr, uint32_t len)
{
	bool big = enc == DICOM_EXPLICIT_BE;

	put_tag(b, enc, tag);
	if (enc == DICOM_IMPLICIT_LE) {
		put_number(b, big, 4, len);
		return;
	}
	(void)buf_add(b, vr, 2);
	if (dicom_vr_long(DICOM_VR(vr[0], vr[1]))) {
		put_number(b, big, 2, 0);
		put_number(b, big, 4, len);
	} else {
		put_number(b, big, 2, len);
	}
}

static inline void
put_bytes(struct buf *b, enum dicom_encoding enc, dicom_tag_t tag,
    const char *vr, const void *value, size_t len)
{
	put_header(b, enc, tag, vr, (uint32_t)len);
	(void)buf_add(b, value, len);
}

/* Padded to even length as the VR wants it. */
static inline void
put_text(struct buf *b, enum dicom_encoding enc, dicom_tag_t tag,
    const char *vr, const char *value)
{
	size_t len = strlen(value), odd = len & 1;

	put_header(b, enc, tag, vr, (uint32_t)(len + odd));
	(void)buf_add(b, value, len);
	if (odd)
		(void)buf_add_char(b, dicom_vr_padding(DICOM_VR(vr[0], vr[1])));
}

static inline void
put_u16(struct buf *b, enum dicom_encoding enc, dicom_tag_t tag, uint16_t v)
{
	put_header(b, enc, tag, "US", 2);
	put_number(b, enc == DICOM_EXPLICIT_BE, 2, v);
}

/* SplitMix64: the same accidents in every run. */
static inline uint64_t
next_random(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline size_t
random_below(uint64_t *seed, size_t n)
{
	return (size_t)(next_random(seed) % n);
}

struct object {
	const char *name;
	const char *path;
	const uint8_t *data;	/* the whole file */
	size_t	    len;
	size_t	    at;		/* of the data set */
	struct dicom_part10 meta;
	bool	    has_meta;
};

/* Calls fn for each file below the directory; a file without group 0002 is
 * taken as the encoding that its name and first bytes tell. */
static inline void
visit_object(const char *dir, const char *name,
    void (*fn)(const struct object *o, void *arg), void *arg)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	AUTO_FREE char *data = NULL;
	struct object o = { .name = name, .path = path };
	size_t len;

	if (fdio_slurp(AT_FDCWD, path, FIXTURE_MAX, &data, &len) != 0)
		abort();
	o.data = (const uint8_t *)data;
	o.len = len;
	o.has_meta = dicom_part10_parse(data, len, &o.meta, &o.at) == 0;
	if (!o.has_meta) {
		bool letters = len > 6 && data[4] >= 'A' && data[4] <= 'Z';
		const char *uid = letters ? DICOM_UID_EXPLICIT_LE :
		    DICOM_UID_IMPLICIT_LE;

		if (letters && data[0] == 0)
			uid = DICOM_UID_EXPLICIT_BE;
		memcpy(o.meta.syntax, uid, strlen(uid) + 1);
	}
	fn(&o, arg);
}

/* 0 when there is no test data. */
static inline unsigned
visit_objects(void (*fn)(const struct object *o, void *arg), void *arg)
{
	const char *root = getenv("CAUSEWAY_TEST_DATA");
	static const char *const folders[] = { "ct-study", "encodings", "syntaxes" };
	unsigned n = 0;

	for (size_t i = 0; root != NULL && i < ARRAY_LEN(folders); i++) {
		AUTO_FREE char *dir = xasprintf("%s/%s", root, folders[i]);
		DIR *d = opendir(dir);
		struct dirent *e;

		while (d != NULL && (e = readdir(d)) != NULL) {
			if (e->d_name[0] == '.')
				continue;
			visit_object(dir, e->d_name, fn, arg);
			n++;
		}
		if (d != NULL)
			(void)closedir(d);
	}
	return n;
}

#endif
