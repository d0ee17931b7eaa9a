/* test_object.c - the data set of the test object, element by element. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/test_object.h"
#include "gateway/dicom/vr.h"

#define EDGE 64		/* pixels, both ways */

static void
add_u16(struct buf *b, unsigned v)
{
	const uint8_t le[2] = { (uint8_t)v, (uint8_t)(v >> 8) };

	(void)buf_add(b, le, sizeof(le));
}

static void
add_tag(struct buf *b, dicom_tag_t tag, const char *vr)
{
	add_u16(b, tag >> 16);
	add_u16(b, tag & 0xffff);
	(void)buf_add(b, vr, 2);
}

static void
add_text(struct buf *b, dicom_tag_t tag, const char *vr, const char *text)
{
	size_t len = strlen(text);

	add_tag(b, tag, vr);
	add_u16(b, (unsigned)(len + len % 2));
	(void)buf_add_str(b, text);
	if (len % 2 != 0)
		(void)buf_add(b, strcmp(vr, "UI") == 0 ? "" : " ", 1);
}

static void
add_number(struct buf *b, dicom_tag_t tag, unsigned v)
{
	add_tag(b, tag, "US");
	add_u16(b, 2);
	add_u16(b, v);
}

static void
add_pixels(struct buf *b)
{
	add_tag(b, 0x7fe00010, "OB");
	add_u16(b, 0);
	add_u16(b, EDGE * EDGE);
	add_u16(b, 0);
	for (unsigned y = 0; y < EDGE; y++) {
		for (unsigned x = 0; x < EDGE; x++)
			(void)buf_add_char(b, (char)(uint8_t)(x * 2 + y * 2));
	}
}

static void
add_study(struct buf *b, const struct dicom_test_object *o, const struct tm *tm)
{
	char date[9], time[7];

	(void)strftime(date, sizeof(date), "%Y%m%d", tm);
	(void)strftime(time, sizeof(time), "%H%M%S", tm);
	add_text(b, 0x00080005, "CS", "ISO_IR 192");
	add_text(b, 0x00080008, "CS", "DERIVED\\SECONDARY");
	add_text(b, 0x00080016, "UI", DICOM_TEST_OBJECT_CLASS);
	add_text(b, 0x00080018, "UI", o->instance);
	add_text(b, 0x00080020, "DA", date);
	add_text(b, 0x00080030, "TM", time);
	add_text(b, 0x00080050, "SH", "");
	add_text(b, 0x00080060, "CS", "OT");
	add_text(b, 0x00080064, "CS", "SYN");
	add_text(b, 0x00080070, "LO", "Causeway");
	add_text(b, 0x00080090, "PN", "");
	add_text(b, 0x00081030, "LO", "TEST OBJECT OF A GATEWAY, MAY BE DELETED");
}

int
dicom_test_object_make(int64_t wall_ms, struct dicom_test_object *ret,
    struct buf *dataset)
{
	struct dicom_test_object o;
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (dicom_uid_new(o.study) < 0 || dicom_uid_new(o.series) < 0 ||
	    dicom_uid_new(o.instance) < 0 || localtime_r(&t, &tm) == NULL)
		return -EIO;
	add_study(dataset, &o, &tm);
	add_text(dataset, 0x00100010, "PN", "TEST^CAUSEWAY");
	add_text(dataset, 0x00100020, "LO", "CAUSEWAY-TEST");
	add_text(dataset, 0x00100030, "DA", "");
	add_text(dataset, 0x00100040, "CS", "O");
	add_text(dataset, 0x0020000d, "UI", o.study);
	add_text(dataset, 0x0020000e, "UI", o.series);
	add_text(dataset, 0x00200010, "SH", "TEST");
	add_text(dataset, 0x00200011, "IS", "1");
	add_text(dataset, 0x00200013, "IS", "1");
	add_number(dataset, 0x00280002, 1);
	add_text(dataset, 0x00280004, "CS", "MONOCHROME2");
	add_number(dataset, 0x00280010, EDGE);
	add_number(dataset, 0x00280011, EDGE);
	add_number(dataset, 0x00280100, 8);
	add_number(dataset, 0x00280101, 8);
	add_number(dataset, 0x00280102, 7);
	add_number(dataset, 0x00280103, 0);
	add_pixels(dataset);
	*ret = o;
	return buf_error(dataset);
}
