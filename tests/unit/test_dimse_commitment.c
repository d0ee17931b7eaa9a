/* test_dimse_commitment.c - reports of storage commitment on associations that a PACS
 * opens: who may, what they settle, and what is answered.
 */
#include "config/config_int.h"
#include "gateway/base/log.h"
#include "gateway/destination/kinds_int.h"
#include "gateway/dicom/commitment.h"
#include "gateway/dimse/dimse.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_fake_spool.h"
#include "tests/unit/dimse_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define GATEWAY "gateway: {ae_title: CAUSEWAY}\nspool: {directory: /var/lib/x}\n"
#define PACS	"destinations: [{name: pacs, type: dimse, host: pacs.local, " \
	"ae_title: PACS}]\n"
#define PEERS	"peers: [{ae_title: CT1}]\n"
#define ROLE	"\x54\0\0\x18\0\x14" DICOM_UID_COMMITMENT "\0\1"
#define ROLE_SCU "\x54\0\0\x18\0\x14" DICOM_UID_COMMITMENT "\1\0"
#define JOB	"{\"transaction\":\"2.25.7\",\"earlier\":\"2.25.6\",\"asked\":1," \
	"\"due\":2,\"tries\":0}"

static struct {
	struct rig rig;
	struct spool spool;
	struct dimse *dimse;
} bench;

static void
swallow(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

static void
set_up(const char *yaml)
{
	static const struct config_kind *const kinds[] = {
		&destination_dimse.config, NULL }, *const none[] = { NULL };
	struct buf problems AUTO(buf_free) = BUF_INIT(4096);
	const struct config *c;

	config_set_kinds(kinds, none);
	if (config_load_text("t.yaml", yaml, strlen(yaml), &c, &problems) < 0)
		fail_msg("%s", problems.data);
	fake_reset();
	fake.job_destination = "pacs";
	fake.job_text = JOB;
	for (unsigned i = 0; i < 3; i++) {
		struct spool_instance *in = &fake.member[fake.n_members++];

		memset(in, 0, sizeof(*in));
		in->id = i + 1;
		in->version = 1;
		(void)snprintf(in->sop_class, sizeof(in->sop_class), CT_CLASS);
		(void)snprintf(in->sop_instance, sizeof(in->sop_instance),
		    "1.2.3.%u", i + 1);
	}
	log_capture(swallow, NULL);
	bench.dimse = dimse_new(&bench.spool, c);
	config_unref(c);
	rig_start(&bench.rig, NULL, NULL, dimse_serve, bench.dimse);
}

static void
tear_down(void)
{
	rig_stop(&bench.rig);
	dimse_free(bench.dimse);
	log_capture(NULL, NULL);
	fake_reset();
}

/* The type of the answer; result: of the one context. */
static int
associate(const char *calling, const char *role, unsigned *ret_type,
    unsigned *ret_result)
{
	static const struct client_context context = { DICOM_UID_COMMITMENT,
		{ DICOM_UID_IMPLICIT_LE } };
	const struct client_request rq = { .calling = calling, .called = "CAUSEWAY",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.items = role, .items_len = role != NULL ? sizeof(ROLE) - 1 : 0,
		.contexts = &context, .n = 1 };
	uint8_t body[4096];
	const uint8_t *ac;
	size_t len = 0;
	int fd = client_associate(bench.rig.port, &rq, ret_type, body, sizeof(body),
	    &len);

	*ret_result = 99;
	if (*ret_type != C_AC)
		return fd;
	ac = memmem(body, len, "\x21\0", 2);
	assert_non_null(ac);
	*ret_result = ac[6];
	if (role != NULL && *ret_result == 0)
		assert_non_null(memmem(body, len, ROLE, sizeof(ROLE) - 1));
	return fd;
}

static uint16_t
send_report(int fd, uint16_t event, const void *data, size_t len)
{
	const struct dicom_command rq = { .field = DICOM_N_EVENT_REPORT_RQ,
		.message_id = 3, .dataset_type = DICOM_DATASET_PRESENT,
		.sop_class = DICOM_UID_COMMITMENT,
		.sop_instance = DICOM_UID_COMMITMENT_INSTANCE,
		.event_type = event, .has_event_type = true };
	struct dicom_command rsp = { 0 };

	assert_true(client_send_command(fd, 1, &rq));
	assert_true(client_send_pdv(fd, 1, false, true, data, len));
	assert_true(client_read_response(fd, &rsp));
	assert_int_equal(rsp.field, DICOM_N_EVENT_REPORT_RSP);
	assert_int_equal(rsp.responding_to, 3);
	assert_int_equal(rsp.event_type, event);
	return rsp.status;
}

/* reasons: of instances 1 to n; 0 committed. */
static uint16_t
report(const char *calling, const char *transaction, const uint16_t *reasons,
    unsigned n)
{
	struct dicom_commitment c = { .n = 0 };
	struct buf b AUTO(buf_free) = BUF_INIT(1 << 16);
	unsigned type, result;
	uint16_t status;
	int fd;

	(void)snprintf(c.transaction, sizeof(c.transaction), "%s", transaction);
	for (unsigned i = 0; i < n; i++) {
		struct dicom_reference r = { .sop_class = CT_CLASS,
			.failed = reasons[i] != 0, .reason = reasons[i] };

		(void)snprintf(r.sop_instance, sizeof(r.sop_instance), "1.2.3.%u",
		    i + 1);
		assert_int_equal(dicom_commitment_add(&c, &r), 0);
	}
	(void)dicom_commitment_write(&b, &c,
	    dicom_syntax_find(DICOM_UID_IMPLICIT_LE));
	dicom_commitment_free(&c);
	fd = associate(calling, ROLE, &type, &result);
	assert_int_equal(type, C_AC);
	assert_int_equal(result, 0);
	status = send_report(fd, 1, b.data, b.len);
	assert_true(client_release(fd));
	return status;
}

/* ---- ------------------------------------------------------------------------- */

static void
test_what_is_committed_is_delivered(void **state)
{
	(void)state;
	set_up(GATEWAY PEERS PACS);
	assert_int_equal(report("PACS", "2.25.7", (uint16_t[]){ 0, 0, 0 }, 3), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(fake.settled[i], SPOOL_DELIVERED);
	assert_int_equal(fake.jobs_ended, 1);
	tear_down();
}

/* As our last question was not answered, we asked again, and now both are. */
static void
test_the_transaction_before_counts(void **state)
{
	(void)state;
	set_up(GATEWAY PEERS PACS);
	assert_int_equal(report("PACS", "2.25.6", (uint16_t[]){ 0, 0, 0 }, 3), 0);
	assert_int_equal(fake.settled[0], SPOOL_DELIVERED);
	tear_down();
}

static void
test_failures(void **state)
{
	(void)state;
	set_up(GATEWAY PEERS PACS);
	assert_int_equal(report("PACS", "2.25.7", (uint16_t[]){ 0, 0x0119, 0x0112 },
	    3), 0);
	assert_int_equal(fake.settled[0], SPOOL_DELIVERED);
	assert_int_equal(fake.settled[1], SPOOL_REFUSED);
	assert_non_null(strstr(fake.settled_reason[1], "another SOP class (0119H)"));
	assert_int_equal(fake.settled[2], SPOOL_OWED);	/* as it was: still sent */
	assert_int_equal(fake.jobs_ended, 0);
	assert_non_null(strstr(fake.job_set, "\"missing\":true"));
	assert_non_null(strstr(fake.job_set, "\"transaction\":\"2.25.7\""));
	tear_down();
}

static void
test_who_is_not_named_stays_open(void **state)
{
	(void)state;
	set_up(GATEWAY PEERS PACS);
	assert_int_equal(report("PACS", "2.25.7", (uint16_t[]){ 0, 0x0213 }, 2), 0);
	assert_int_equal(fake.settled[0], SPOOL_DELIVERED);
	assert_int_equal(fake.settled[1], SPOOL_OWED);
	assert_int_equal(fake.settled[2], SPOOL_OWED);
	assert_int_equal(fake.jobs_ended, 0);
	assert_null(strstr(fake.job_set, "missing"));
	tear_down();
}

static void
test_success_is_said_of_what_is_durable(void **state)
{
	(void)state;
	set_up(GATEWAY PEERS PACS);
	fake.settle_error = -EIO;
	assert_int_equal(report("PACS", "2.25.7", (uint16_t[]){ 0, 0, 0 }, 3),
	    DICOM_COMMITMENT_PROCESSING);
	assert_int_equal(fake.jobs_ended, 0);
	fake.settle_error = 0;
	assert_int_equal(report("PACS", "2.25.8", (uint16_t[]){ 0, 0, 0 }, 3),
	    DICOM_COMMITMENT_PROCESSING);
	assert_int_equal(fake.settled[0], SPOOL_OWED);
	tear_down();
}

static void
test_what_is_no_report(void **state)
{
	unsigned type, result;
	int fd;

	(void)state;
	set_up(GATEWAY PEERS PACS);
	fd = associate("PACS", NULL, &type, &result);	/* forgot its role */
	assert_int_equal(result, 0);
	assert_int_equal(send_report(fd, 1, "garbage!", 8), 0x0115);
	assert_int_equal(send_report(fd, 3, "garbage!", 8), 0x0113);
	assert_true(client_release(fd));
	assert_int_equal(fake.settled[0], SPOOL_OWED);
	tear_down();
}

/* Closed unless it is the called title of a destination of this kind. */
static void
test_who_may_report(void **state)
{
	static const struct {
		const char *yaml, *calling, *role;
		unsigned type, result;
	} cases[] = {
		{ GATEWAY PEERS PACS, "PACS", ROLE, C_AC, 0 },
		{ GATEWAY PEERS PACS, "PACS", ROLE_SCU, C_AC, 3 },
		{ GATEWAY PEERS PACS, "CT1", ROLE, C_AC, 3 },
		{ GATEWAY PEERS PACS, "pacs", ROLE, C_RJ, 99 },
		{ GATEWAY "access: open\n" PACS, "CT9", ROLE, C_AC, 3 },
		{ GATEWAY "access: open\n" PACS, "PACS", ROLE, C_AC, 0 },
		/* Its entry binds it to an address. */
		{ GATEWAY "peers: [{ae_title: PACS, address: 10.9.9.9}]\n" PACS,
		    "PACS", ROLE, C_RJ, 99 },
		{ GATEWAY "peers: [{ae_title: PACS, allow: echo}]\n" PACS,
		    "PACS", ROLE, C_AC, 0 },
		{ GATEWAY PEERS "destinations: [{name: pacs, type: dimse, host: h, "
		    "ae_title: PACS, commitment: never}]\n", "PACS", ROLE, C_RJ, 99 },
	};
	unsigned type, result;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		set_up(cases[i].yaml);
		(void)close(associate(cases[i].calling, cases[i].role, &type,
		    &result));
		assert_int_equal(type, cases[i].type);
		assert_int_equal(result, cases[i].result);
		tear_down();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_committed_is_delivered),
		cmocka_unit_test(test_the_transaction_before_counts),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_who_is_not_named_stays_open),
		cmocka_unit_test(test_success_is_said_of_what_is_durable),
		cmocka_unit_test(test_what_is_no_report),
		cmocka_unit_test(test_who_may_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
