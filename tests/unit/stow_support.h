/* stow_support.h - what the tests of gateway/destination share: a spool in memory
 * that stands in for the real one (spool_reader_*, spool_set_replacing), data sets
 * for it, and a destination of kind `dicomweb` opened from YAML.
 */
#ifndef CW_TESTS_STOW_SUPPORT_H
#define CW_TESTS_STOW_SUPPORT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config_int.h"
#include "gateway/destination/destination.h"
#include "gateway/http/http.h"
#include "spool/spool.h"
#include "tests/unit/cloud_support.h"
#include "tests/unit/dicom_fixture.h"
#include "tests/unit/spool_stubs.h"

#define OBJECTS_MAX 1024

struct fake_object {
	struct spool_instance in;
	char	*data;
	uint64_t length;
	uint8_t	 checksum[HASH_SIZE];
	unsigned opened;
	bool	 gone;
};
struct spool {
	struct fake_object o[OBJECTS_MAX];
	size_t	 n;
	unsigned replacing;	/* calls of spool_set_replacing */
	int	 replacing_error;
};
struct spool_reader { struct fake_object *o; };

static struct spool fake_spool;

/* ---- the spool ----------------------------------------------------------- */

int
spool_reader_open(struct spool *sp, uint64_t id, struct spool_reader **ret)
{
	struct spool_reader *r;

	assert_in_range(id, 1, sp->n);
	if (sp->o[id - 1].gone)
		return -ENOENT;
	r = xcalloc(1, sizeof(*r));
	r->o = &sp->o[id - 1];
	r->o->opened++;
	*ret = r;
	return 0;
}

void
spool_reader_close(struct spool_reader *r)
{
	free(r);
}

uint64_t
spool_reader_length(const struct spool_reader *r)
{
	return r->o->length;
}

ssize_t
spool_reader_read(struct spool_reader *r, uint64_t at, void *data, size_t len)
{
	if (at > r->o->length)
		at = r->o->length;
	if (len > r->o->length - at)
		len = (size_t)(r->o->length - at);
	if (len > 0)
		memcpy(data, r->o->data + at, len);
	return (ssize_t)len;
}

int
spool_reader_verify(struct spool_reader *r)
{
	uint8_t now[HASH_SIZE];

	hash_bytes(r->o->data, r->o->length, now);
	return memcmp(now, r->o->checksum, HASH_SIZE) == 0 ? 0 : -EUCLEAN;
}

const uint8_t *
spool_reader_checksum(const struct spool_reader *r)
{
	return r->o->checksum;
}

int
spool_set_replacing(struct spool *sp, uint64_t id, const char *destination)
{
	assert_in_range(id, 1, sp->n);
	assert_string_equal(destination, "cloud");
	sp->replacing++;
	return sp->replacing_error;
}

static inline void
forget_objects(void)
{
	for (size_t i = 0; i < fake_spool.n; i++)
		free(fake_spool.o[i].data);
	memset(&fake_spool, 0, sizeof(fake_spool));
}

/* ---- objects ------------------------------------------------------------- */

#define CT_STORAGE "1.2.840.10008.5.1.4.1.1.2"

/* Takes the bytes. */
static inline struct fake_object *
keep_object(const char *syntax, unsigned n, unsigned version, char *data,
    size_t len)
{
	struct fake_object *o = &fake_spool.o[fake_spool.n++];
	struct spool_instance *in = &o->in;

	assert_true(fake_spool.n <= OBJECTS_MAX);
	o->data = data;
	o->length = len;
	hash_bytes(data, len, o->checksum);
	in->id = fake_spool.n;
	in->study = 1;
	in->version = version;
	in->length = len;
	in->kept = true;
	(void)snprintf(in->sop_class, sizeof(in->sop_class), CT_STORAGE);
	(void)snprintf(in->sop_instance, sizeof(in->sop_instance), "1.2.3.%u", n);
	(void)snprintf(in->study_uid, sizeof(in->study_uid), "1.2.1");
	(void)snprintf(in->series_uid, sizeof(in->series_uid), "1.2.2");
	(void)snprintf(in->syntax, sizeof(in->syntax), "%s", syntax);
	return o;
}

static inline void
put_pixels(struct buf *b, enum dicom_encoding enc, size_t bytes, char fill)
{
	put_header(b, enc, PIXEL_DATA, "OW", (uint32_t)bytes);
	for (size_t i = 0; i < bytes; i++)
		(void)buf_add_char(b, (char)(fill + (char)(i % 7)));
}

/* A small image; versions differ in their pixels. */
static inline void
build_dataset(struct buf *b, enum dicom_encoding enc, unsigned n,
    unsigned version, size_t pixels)
{
	char uid[32];

	(void)snprintf(uid, sizeof(uid), "1.2.3.%u", n);
	put_text(b, enc, 0x00080016, "UI", CT_STORAGE);
	put_text(b, enc, 0x00080018, "UI", uid);
	put_text(b, enc, 0x00080060, "CS", "CT");
	put_text(b, enc, 0x0020000d, "UI", "1.2.1");
	put_text(b, enc, 0x0020000e, "UI", "1.2.2");
	put_u16(b, enc, 0x00280100, 16);
	put_u16(b, enc, 0x00280103, 0);
	put_pixels(b, enc, pixels, (char)('A' + (char)version * 16));
	assert_int_equal(buf_error(b), 0);
}

static inline struct fake_object *
add_sized(const char *syntax, unsigned n, unsigned version, size_t pixels)
{
	struct buf b = BUF_INIT(256u << 20);
	size_t len;

	build_dataset(&b, dicom_syntax_find(syntax)->encoding, n, version, pixels);
	len = b.len;
	return keep_object(syntax, n, version, buf_take(&b), len);
}

static inline struct fake_object *
add_object(unsigned n, unsigned version)
{
	return add_sized(DICOM_UID_EXPLICIT_LE, n, version, 1000);
}

/* ---- the destination ----------------------------------------------------- */

static const struct config *stow_config;

static inline void
use_real_kinds(void)
{
	static const struct config_kind *d[32], *c[32];

	for (size_t i = 0; destination_kinds()[i] != NULL; i++)
		d[i] = &destination_kinds()[i]->config;
	for (size_t i = 0; http_credential_kinds()[i] != NULL; i++)
		c[i] = &http_credential_kinds()[i]->config;
	config_set_kinds(d, c);
}

/* more: ", flavor: orthanc" or "". */
static inline struct destination *
open_destination(const char *url, const char *more)
{
	AUTO_FREE char *text = xasprintf("destinations:\n  - {name: cloud, type: "
	    "dicomweb, url: \"%s\", stall_timeout: 1s%s}\n", url, more);
	struct buf problems = BUF_INIT(10000);
	struct destination *d = NULL;

	use_real_kinds();
	if (config_load_text("t.yaml", text, strlen(text), &stow_config,
		&problems) < 0)
		fail_msg("%s", problems.data);
	if (destination_open(stow_config->destinations.v[0], &fake_spool, &d,
		&problems) < 0)
		fail_msg("%s", problems.data);
	buf_free(&problems);
	return d;
}

static inline void
close_destination(struct destination *d)
{
	destination_close(d);
	config_unref(stow_config);
	stow_config = NULL;
}

/* All objects of the fake spool, as the uploader would. */
static inline struct destination_item *
deliver_all(struct destination *d, struct destination_result *ret)
{
	struct destination_item *items = xcalloc(fake_spool.n, sizeof(*items));

	for (size_t i = 0; i < fake_spool.n; i++)
		items[i].in = fake_spool.o[i].in;
	destination_deliver(d, items, fake_spool.n, ret);
	return items;
}

#define SAYS(text, part)                                                \
	do {                                                            \
		if (strstr((text), (part)) == NULL)                     \
			fail_msg("\"%s\" lacks \"%s\"", (text), (part)); \
	} while (0)

#endif
