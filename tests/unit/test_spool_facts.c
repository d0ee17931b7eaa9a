/* test_spool_facts.c - what a study says of itself, in all its parts. */
#include "tests/unit/spool_fixture.h"

#define MR "1.2.840.10008.5.1.4.1.1.4"

struct part {
	const char *series, *sop_class, *station, *description, *body_part;
};

static void
store_part(struct box *b, unsigned number, const struct part *p)
{
	struct buf obj = BUF_INIT(1 << 16);
	struct spool_origin from = { "CT1", "CAUSEWAY", "10.0.0.1" };
	struct spool_put_head head = { .priority = SPOOL_NORMAL };
	struct spool_source *src = spool_source_open(b->sp, &from);
	struct dicom_head_reader *hr;
	struct spool_receipt got;
	struct spool_put *put;

	(void)snprintf(head.sop_class, sizeof(head.sop_class), "%s", p->sop_class);
	(void)snprintf(head.sop_instance, sizeof(head.sop_instance), "1.9.%u", number);
	(void)snprintf(head.syntax, sizeof(head.syntax), DICOM_UID_EXPLICIT_LE);
	element(&obj, 8, 0x05, "CS", "ISO_IR 100");
	element(&obj, 8, 0x16, "UI", head.sop_class);
	element(&obj, 8, 0x18, "UI", head.sop_instance);
	element(&obj, 8, 0x60, "CS", "CT");
	element(&obj, 8, 0x1010, "SH", p->station);
	element(&obj, 8, 0x1030, "LO", "Sch\xe4""del nativ");
	element(&obj, 8, 0x103e, "LO", p->description);
	element(&obj, 0x10, 0x20, "LO", "PID1");
	element(&obj, 0x18, 0x15, "CS", p->body_part);
	element(&obj, 0x20, 0x0d, "UI", "1.9");
	element(&obj, 0x20, 0x0e, "UI", p->series);
	hr = dicom_head_reader_new(dicom_syntax_find(head.syntax));
	assert_int_equal(spool_put_begin(src, &head, &put), 0);
	(void)spool_put_write(put, obj.data, obj.len);
	(void)dicom_head_reader_feed(hr, obj.data, obj.len);
	spool_put_describe(put, dicom_head_reader_head(hr));
	assert_int_equal(spool_commit(&put, &got), 0);
	dicom_head_reader_free(hr);
	spool_source_close(src);
	buf_free(&obj);
}

struct told {
	struct buf text;
	unsigned stop_after;
};

static int
note(void *arg, enum spool_fact fact, const char *text)
{
	struct told *t = arg;

	(void)buf_printf(&t->text, "%u=%s;", (unsigned)fact, text);
	return t->stop_after > 0 && --t->stop_after == 0 ? 7 : 0;
}

static void
expect(struct box *b, unsigned wanted, const char *want)
{
	struct told t = { .text = BUF_INIT(4096) };

	assert_int_equal(spool_study_facts(b->sp, 1, wanted, note, &t), 0);
	assert_string_equal(t.text.len > 0 ? t.text.data : "", want);
	buf_free(&t.text);
}

static void
each_part_is_told_once(void **state)
{
	struct box *b = *state;
	struct told t = { .text = BUF_INIT(4096), .stop_after = 2 };

	store_part(b, 1, &(struct part){ "1.9.100", CT, "ER_CT", "Topo", "HEAD" });
	store_part(b, 2, &(struct part){ "1.9.100", CT, "ER_CT", "Topo", "HEAD" });
	store_part(b, 3, &(struct part){ "1.9.200", MR, "ER_CT", "Axial", "HEAD" });
	store_part(b, 4, &(struct part){ "1.9.300", CT, "", "", "" });
	expect(b, 1u << SPOOL_FACT_BODY_PART, "1=HEAD;");
	expect(b, 1u << SPOOL_FACT_STATION, "2=ER_CT;");
	expect(b, 1u << SPOOL_FACT_DESCRIPTION,
	    "3=Sch\xc3\xa4""del nativ;3=Topo;3=Axial;");
	expect(b, 1u << SPOOL_FACT_SOP_CLASS, "0=" CT ";0=" MR ";");
	expect(b, 0, "");
	assert_int_equal(spool_study_facts(b->sp, 1, ~0u, note, &t), 7);
	assert_string_equal(t.text.data, "1=HEAD;2=ER_CT;");
	buf_clear(&t.text);
	assert_int_equal(spool_study_facts(b->sp, 99, ~0u, note, &t), 0);
	assert_int_equal(t.text.len, 0);
	buf_free(&t.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_part_is_told_once, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
