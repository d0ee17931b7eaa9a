/* test_dicom_command.c - command sets as we write them, byte for byte, and as
 * others write them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/dicom/command.h"
#include "tests/unit/dicom_fixture.h"

#define DATA(name) struct buf name AUTO(buf_free) = BUF_INIT(FIXTURE_MAX)
#define I	   DICOM_IMPLICIT_LE
#define CT	   "1.2.840.10008.5.1.4.1.1.2"

static void
put_length(struct buf *b, uint32_t len)
{
	put_header(b, I, 0x00000000, NULL, 4);
	put_number(b, false, 4, len);
}

static void
expect_written(const struct dicom_command *cmd, const struct buf *elements)
{
	struct dicom_command back;
	DATA(again);
	DATA(b);
	DATA(e);

	assert_int_equal(dicom_command_write(&b, cmd), 0);
	put_length(&e, (uint32_t)elements->len);
	(void)buf_add(&e, elements->data, elements->len);
	assert_int_equal(b.len, e.len);
	assert_memory_equal(b.data, e.data, e.len);

	assert_int_equal(dicom_command_parse(b.data, b.len, &back), 0);
	assert_int_equal(dicom_command_write(&again, &back), 0);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.data, b.data, b.len);
}

static void
test_store_request(void **state)
{
	struct dicom_command c = { .field = DICOM_C_STORE_RQ, .message_id = 7,
		.dataset_type = DICOM_DATASET_PRESENT, .has_priority = true,
		.priority = 2, .sop_class = CT, .sop_instance = "1.2.34",
		.originator_title = "WS", .originator_id = 9,
		.has_originator_id = true };
	DATA(e);

	(void)state;
	put_text(&e, I, 0x00000002, "UI", CT);
	put_u16(&e, I, 0x00000100, 0x0001);
	put_u16(&e, I, 0x00000110, 7);
	put_u16(&e, I, 0x00000700, 2);
	put_u16(&e, I, 0x00000800, 0x0001);
	put_text(&e, I, 0x00001000, "UI", "1.2.34");
	put_text(&e, I, 0x00001030, "AE", "WS");
	put_u16(&e, I, 0x00001031, 9);
	expect_written(&c, &e);
	assert_true(dicom_command_has_dataset(&c));
}

static void
test_store_response(void **state)
{
	struct dicom_command c = { .field = DICOM_C_STORE_RSP, .responding_to = 7,
		.dataset_type = DICOM_DATASET_NONE, .status = 0xa700,
		.sop_class = CT, .sop_instance = "1.2.3", .error_comment = "disk full",
		.offending_element = 0x00080018 };
	DATA(e);

	(void)state;
	put_text(&e, I, 0x00000002, "UI", CT);
	put_u16(&e, I, 0x00000100, 0x8001);
	put_u16(&e, I, 0x00000120, 7);
	put_u16(&e, I, 0x00000800, 0x0101);
	put_u16(&e, I, 0x00000900, 0xa700);
	put_bytes(&e, I, 0x00000901, "AT", "\x08\0\x18\0", 4);
	put_text(&e, I, 0x00000902, "LO", "disk full");
	put_text(&e, I, 0x00001000, "UI", "1.2.3");
	expect_written(&c, &e);
	assert_false(dicom_command_has_dataset(&c));
}

static void
test_move_and_cancel(void **state)
{
	struct dicom_command rq = { .field = DICOM_C_MOVE_RQ, .message_id = 1,
		.dataset_type = DICOM_DATASET_PRESENT,
		.sop_class = "1.2.840.10008.5.1.4.1.2.2.2", .move_destination = "PACS" };
	struct dicom_command rsp = { .field = DICOM_C_MOVE_RSP, .responding_to = 1,
		.dataset_type = DICOM_DATASET_NONE, .status = 0xff00,
		.has_remaining = true, .remaining = 4, .has_counters = true,
		.completed = 3, .failed = 2, .warning = 1 };
	struct dicom_command cancel = { .field = DICOM_C_CANCEL_RQ,
		.responding_to = 1, .dataset_type = DICOM_DATASET_NONE };
	DATA(a);
	DATA(b);
	DATA(c);

	(void)state;
	put_text(&a, I, 0x00000002, "UI", rq.sop_class);
	put_u16(&a, I, 0x00000100, 0x0021);
	put_u16(&a, I, 0x00000110, 1);
	put_text(&a, I, 0x00000600, "AE", "PACS");
	put_u16(&a, I, 0x00000800, 1);
	expect_written(&rq, &a);

	put_u16(&b, I, 0x00000100, 0x8021);
	put_u16(&b, I, 0x00000120, 1);
	put_u16(&b, I, 0x00000800, 0x0101);
	put_u16(&b, I, 0x00000900, 0xff00);
	put_u16(&b, I, 0x00001020, 4);
	put_u16(&b, I, 0x00001021, 3);
	put_u16(&b, I, 0x00001022, 2);
	put_u16(&b, I, 0x00001023, 1);
	expect_written(&rsp, &b);

	put_u16(&c, I, 0x00000100, 0x0fff);
	put_u16(&c, I, 0x00000120, 1);
	put_u16(&c, I, 0x00000800, 0x0101);
	expect_written(&cancel, &c);
}

/* Requests name the Requested, reports and answers the Affected SOP instance. */
static void
test_action_and_report(void **state)
{
	struct dicom_command action = { .field = DICOM_N_ACTION_RQ, .message_id = 1,
		.dataset_type = DICOM_DATASET_PRESENT, .has_action_type = true,
		.action_type = 1, .sop_class = "1.2.840.10008.1.20.1",
		.sop_instance = "1.2.840.10008.1.20.1.1" };
	struct dicom_command report = action;
	DATA(a);
	DATA(b);

	(void)state;
	put_text(&a, I, 0x00000003, "UI", action.sop_class);
	put_u16(&a, I, 0x00000100, 0x0130);
	put_u16(&a, I, 0x00000110, 1);
	put_u16(&a, I, 0x00000800, 1);
	put_text(&a, I, 0x00001001, "UI", action.sop_instance);
	put_u16(&a, I, 0x00001008, 1);
	expect_written(&action, &a);

	report.field = DICOM_N_EVENT_REPORT_RQ;
	report.has_action_type = false;
	report.action_type = 0;
	report.has_event_type = true;
	report.event_type = 2;
	put_text(&b, I, 0x00000002, "UI", action.sop_class);
	put_u16(&b, I, 0x00000100, 0x0100);
	put_u16(&b, I, 0x00000110, 1);
	put_u16(&b, I, 0x00000800, 1);
	put_text(&b, I, 0x00001000, "UI", action.sop_instance);
	put_u16(&b, I, 0x00001002, 2);
	expect_written(&report, &b);
}

static void
test_comment_is_one_value(void **state)
{
	struct dicom_command c = { .field = DICOM_C_ECHO_RSP,
		.dataset_type = DICOM_DATASET_NONE, .error_comment = "a\\b\n\x1b\xc3z" };
	struct dicom_command back;
	DATA(b);

	(void)state;
	assert_int_equal(dicom_command_write(&b, &c), 0);
	assert_int_equal(dicom_command_parse(b.data, b.len, &back), 0);
	assert_string_equal(back.error_comment, "a?b???z");
}

static void
test_write_errors(void **state)
{
	struct dicom_command c = { .field = DICOM_C_ECHO_RQ,
		.dataset_type = DICOM_DATASET_NONE };
	struct buf b = BUF_INIT(20);

	(void)state;
	assert_int_equal(dicom_command_write(&b, &c), -EMSGSIZE);
	buf_free(&b);
}

static void
expect_parsed(const struct buf *b, struct dicom_command *ret)
{
	AUTO_FREE char *copy = malloc(b->len);

	memcpy(copy, b->data, b->len);
	memset(ret, 'x', sizeof(*ret));
	assert_int_equal(dicom_command_parse(copy, b->len, ret), 0);
}

/* No group length, elements out of order, unknown and retired ones, padding. */
static void
test_lenient_reading(void **state)
{
	struct dicom_command c;
	DATA(b);

	(void)state;
	put_text(&b, I, 0x00001000, "UI", "1.2.3");
	put_u16(&b, I, 0x00000800, 0x0102);
	put_text(&b, I, 0x00005110, "LT", "retired");
	put_bytes(&b, I, 0x0000fff1, "UN", "odd", 3);
	put_bytes(&b, I, 0x00000002, "UI", CT "  ", sizeof(CT) + 1);
	put_bytes(&b, I, 0x00000600, "AE", " PACS           \0", 17);
	put_u16(&b, I, 0x00000110, 513);
	put_u16(&b, I, 0x00000100, 0x0001);
	expect_parsed(&b, &c);
	assert_int_equal(c.field, DICOM_C_STORE_RQ);
	assert_int_equal(c.message_id, 513);
	assert_string_equal(c.sop_class, CT);
	assert_string_equal(c.sop_instance, "1.2.3");
	assert_string_equal(c.move_destination, "PACS");
	assert_true(dicom_command_has_dataset(&c));
	assert_false(c.has_priority);
	assert_false(c.has_counters);
}

static void
test_wrong_group_length(void **state)
{
	struct dicom_command c;
	DATA(b);

	(void)state;
	put_length(&b, 0xffffffff);
	put_u16(&b, I, 0x00000100, 0x0030);
	put_bytes(&b, I, 0x00000110, "US", "\1\0\0\0", 4);	/* as UL */
	put_bytes(&b, I, 0x00000700, "US", "\1", 1);		/* no number */
	expect_parsed(&b, &c);
	assert_int_equal(c.field, DICOM_C_ECHO_RQ);
	assert_int_equal(c.message_id, 1);
	assert_false(c.has_priority);
	assert_int_equal(c.dataset_type, DICOM_DATASET_NONE);
}

/* Without (0000,0800) a store request still has its data set. */
static void
test_dataset_type_missing(void **state)
{
	struct dicom_command c;
	DATA(b);

	(void)state;
	put_u16(&b, I, 0x00000100, 0x0001);
	expect_parsed(&b, &c);
	assert_true(dicom_command_has_dataset(&c));
}

static void
test_hostile_strings(void **state)
{
	char many[200];
	struct dicom_command c;
	DATA(b);

	(void)state;
	memset(many, '1', sizeof(many));
	put_u16(&b, I, 0x00000100, 0x0001);
	put_bytes(&b, I, 0x00000002, "UI", many, 65);
	put_bytes(&b, I, 0x00001000, "UI", "1.2\0003", 5);
	put_bytes(&b, I, 0x00000600, "AE", many, 17);
	put_bytes(&b, I, 0x00000902, "LO", many, sizeof(many));
	put_bytes(&b, I, 0x00001030, "AE", "", 0);
	expect_parsed(&b, &c);
	assert_string_equal(c.sop_class, "");
	assert_string_equal(c.sop_instance, "");
	assert_string_equal(c.move_destination, "");
	assert_string_equal(c.originator_title, "");
	assert_int_equal(strlen(c.error_comment), 64);
}

static void
test_not_a_command_set(void **state)
{
	struct dicom_command c = { .field = 4711 };
	AUTO_FREE char *large = xcalloc(1, DICOM_COMMAND_MAX + 8);
	DATA(no_field);
	DATA(group);
	DATA(length);

	(void)state;
	assert_int_equal(dicom_command_parse("", 0, &c), -EBADMSG);
	put_u16(&no_field, I, 0x00000110, 1);
	assert_int_equal(
	    dicom_command_parse(no_field.data, no_field.len, &c), -EBADMSG);
	put_u16(&group, I, 0x00000100, 0x0030);
	put_u16(&group, I, 0x00080016, 1);
	assert_int_equal(dicom_command_parse(group.data, group.len, &c), -EBADMSG);
	put_u16(&length, I, 0x00000100, 0x0030);
	put_header(&length, I, 0x00000902, NULL, DICOM_UNDEFINED);
	assert_int_equal(
	    dicom_command_parse(length.data, length.len, &c), -EBADMSG);
	/* Elements of no length up to the brim, and one more. */
	memcpy(large, "\0\0\0\1\2\0\0\0\1\0\0\0\0\0\0\0\0\0", 18);
	assert_int_equal(
	    dicom_command_parse(large, DICOM_COMMAND_MAX + 2, &c), -EBADMSG);
	assert_int_equal(c.field, 4711);
	assert_int_equal(dicom_command_parse(large, DICOM_COMMAND_MAX - 6, &c), 0);
	assert_int_equal(c.field, 1);
}

static void
test_cuts_and_accidents(void **state)
{
	struct dicom_command in = { .field = DICOM_C_STORE_RQ, .message_id = 7,
		.dataset_type = DICOM_DATASET_PRESENT, .sop_class = CT,
		.sop_instance = "1.2.34", .originator_title = "WS" }, out;
	uint64_t seed = 6;
	DATA(b);

	(void)state;
	assert_int_equal(dicom_command_write(&b, &in), 0);
	for (unsigned round = 0; round < 5000; round++) {
		size_t len = round < b.len ? round : b.len;
		AUTO_FREE char *copy = malloc(len + 1);
		int r;

		memcpy(copy, b.data, len);
		for (unsigned i = 0; round > b.len && i < 3; i++)
			copy[random_below(&seed, len)] = (char)next_random(&seed);
		r = dicom_command_parse(copy, len, &out);
		assert_true(r == 0 || r == -EBADMSG);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_request),
		cmocka_unit_test(test_store_response),
		cmocka_unit_test(test_move_and_cancel),
		cmocka_unit_test(test_action_and_report),
		cmocka_unit_test(test_comment_is_one_value),
		cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_lenient_reading),
		cmocka_unit_test(test_wrong_group_length),
		cmocka_unit_test(test_dataset_type_missing),
		cmocka_unit_test(test_hostile_strings),
		cmocka_unit_test(test_not_a_command_set),
		cmocka_unit_test(test_cuts_and_accidents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
