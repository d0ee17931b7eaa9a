/* test_destination_dimse.c - the kind `dimse` against a PACS of our own making and a
 * real spool: what is sent and how, what each answer means, storage commitment.
 */
#include "tests/unit/spool_fixture.h"

#include "config/config_int.h"
#include "gateway/base/clock.h"
#include "gateway/destination/destination.h"
#include "gateway/destination/kinds_int.h"
#include "gateway/dicom/commitment.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_rig.h"

#define STUDY "1.2.1"
#define JPEG  "1.2.840.10008.1.2.4.70"

enum commits { NO, SAME_ASSOCIATION, LATER, REFUSES, BREAKS };

/* ---- a PACS ---------------------------------------------------------------------- */

struct received {
	char	 uid[DICOM_UID_MAX + 1], syntax[DICOM_UID_MAX + 1];
	struct buf data;
	uint16_t priority;
};

static struct pacs_stand_in {
	struct rig rig;
	/* settings */
	const char *takes[3];		/* syntaxes, in order; none: all */
	const char *not_class;		/* an abstract syntax that it does not take */
	enum commits commits;
	uint16_t status;		/* of every C-STORE ... */
	const char *only;		/* ... or of this instance's alone */
	const char *comment;
	const char *aborts_at;		/* an instance in whose middle it aborts */
	uint16_t report_reason;		/* of `only`, in the report */
	/* seen */
	pthread_mutex_t mu;
	struct received got[300];
	size_t	 n;
	unsigned associations, asked, echoes, context_max;
	char	 calling[17], transaction[DICOM_UID_MAX + 1];
	uint16_t report_status;
	uint64_t bytes;
} pacs = { .mu = PTHREAD_MUTEX_INITIALIZER };

static const char *
choose_syntax(const struct assoc_context *c)
{
	if (pacs.takes[0] == NULL)
		return c->syntaxes[0];
	for (unsigned t = 0; t < 3 && pacs.takes[t] != NULL; t++)
		for (unsigned i = 0; i < c->n_syntaxes; i++)
			if (strcmp(c->syntaxes[i], pacs.takes[t]) == 0)
				return c->syntaxes[i];
	return NULL;
}

static struct assoc_answer
answer_context(const struct assoc_context *c)
{
	struct assoc_answer to = { .result = ASSOC_ABSTRACT_UNSUPPORTED };

	if (strcmp(c->abstract_syntax, DICOM_UID_COMMITMENT) == 0 &&
	    pacs.commits == NO)
		return to;
	if (pacs.not_class != NULL && strcmp(c->abstract_syntax, pacs.not_class) == 0)
		return to;
	to.syntax = strcmp(c->abstract_syntax, DICOM_UID_COMMITMENT) == 0
	    ? c->syntaxes[0] : choose_syntax(c);
	to.result = to.syntax != NULL ? ASSOC_ACCEPTED : ASSOC_SYNTAXES_UNSUPPORTED;
	return to;
}

static bool
is_meant(const char *uid)
{
	return pacs.only == NULL || strcmp(pacs.only, uid) == 0;
}

static int
respond(struct assoc *a, uint8_t context, const struct dicom_command *rq,
    uint16_t status)
{
	struct dicom_command rsp = { .field = rq->field | 0x8000, .status = status,
		.responding_to = rq->message_id,
		.dataset_type = DICOM_DATASET_NONE };

	if (status != 0 && pacs.comment != NULL)
		(void)snprintf(rsp.error_comment, sizeof(rsp.error_comment), "%s",
		    pacs.comment);
	return assoc_send_message(a, context, &rsp, NULL, 0);
}

static int
take_object(struct assoc *a, uint8_t context, const struct dicom_command *rq,
    const char *syntax)
{
	struct received *r = &pacs.got[pacs.n];
	struct assoc_pdv pdv = { 0 };
	int e;

	memset(r, 0, sizeof(*r));
	r->data.max = 64u << 20;
	r->priority = rq->priority;
	(void)snprintf(r->uid, sizeof(r->uid), "%s", rq->sop_instance);
	(void)snprintf(r->syntax, sizeof(r->syntax), "%s", syntax);
	while (!pdv.last) {
		e = assoc_read(a, true, &pdv);
		if (e < 0) {
			buf_free(&r->data);
			return e;
		}
		(void)buf_add(&r->data, pdv.data, pdv.len);
		pacs.bytes += pdv.len;
		if (pacs.aborts_at != NULL && !pdv.last &&
		    strcmp(pacs.aborts_at, r->uid) == 0) {
			buf_free(&r->data);
			return -ECONNABORTED;
		}
	}
	pacs.n++;
	return respond(a, context, rq, is_meant(r->uid) ? pacs.status : 0);
}

/* The report, as it would come, to what was asked for. */
static int
report(struct assoc *a, uint8_t context, struct dicom_commitment *c,
    const char *syntax)
{
	struct buf b AUTO(buf_free) = BUF_INIT(1 << 20);
	struct dicom_command rq = { .field = DICOM_N_EVENT_REPORT_RQ,
		.message_id = 77, .dataset_type = DICOM_DATASET_PRESENT,
		.sop_class = DICOM_UID_COMMITMENT,
		.sop_instance = DICOM_UID_COMMITMENT_INSTANCE, .event_type = 1,
		.has_event_type = true }, rsp;
	int e;

	for (size_t i = 0; i < c->n && pacs.report_reason != 0; i++)
		if (is_meant(c->v[i].sop_instance)) {
			c->v[i].failed = true;
			c->v[i].reason = pacs.report_reason;
		}
	(void)dicom_commitment_write(&b, c, dicom_syntax_find(syntax));
	e = assoc_send_message(a, context, &rq, b.data, b.len);
	if (e == 0)
		e = assoc_read_command(a, true, &rsp, &context);
	if (e == 0)
		pacs.report_status = rsp.status;
	return e;
}

static int
take_action(struct assoc *a, uint8_t context, const struct dicom_command *rq,
    const char *syntax)
{
	struct buf b AUTO(buf_free) = BUF_INIT(1 << 20);
	struct dicom_commitment c;
	int e;

	assert_int_equal(rq->action_type, 1);
	assert_string_equal(rq->sop_instance, DICOM_UID_COMMITMENT_INSTANCE);
	e = assoc_read_dataset(a, context, &b);
	if (e < 0)
		return e;
	assert_int_equal(dicom_commitment_parse(b.data, b.len,
	    dicom_syntax_find(syntax), &c), 0);
	memcpy(pacs.transaction, c.transaction, sizeof(pacs.transaction));
	pacs.asked++;
	if (pacs.commits == BREAKS)
		e = -ECONNABORTED;
	else
		e = respond(a, context, rq, pacs.commits == REFUSES ? 0x0213 : 0);
	if (e == 0 && pacs.commits == SAME_ASSOCIATION)
		e = report(a, context, &c, syntax);
	dicom_commitment_free(&c);
	return e;
}

static int
serve_messages(struct assoc *a, const struct assoc_answer *answers)
{
	struct dicom_command rq;
	uint8_t context;
	int r;

	for (;;) {
		r = assoc_read_command(a, false, &rq, &context);
		if (r == 1)
			return assoc_release(a);
		if (r < 0)
			return r;
		if (rq.field == DICOM_C_STORE_RQ)
			r = take_object(a, context, &rq, answers[context / 2].syntax);
		else if (rq.field == DICOM_N_ACTION_RQ)
			r = take_action(a, context, &rq, answers[context / 2].syntax);
		else
			r = respond(a, context, &rq, (uint16_t)(pacs.echoes++, 0));
		if (r < 0)
			return r;
	}
}

static void
serve(void *arg, struct assoc *a)
{
	const struct assoc_request *rq = assoc_request(a);
	struct assoc_answer answers[ASSOC_CONTEXTS_MAX];

	(void)arg;
	(void)pthread_mutex_lock(&pacs.mu);
	pacs.associations++;
	if (rq->n_contexts > pacs.context_max)
		pacs.context_max = rq->n_contexts;
	(void)snprintf(pacs.calling, sizeof(pacs.calling), "%s", rq->calling);
	for (unsigned i = 0; i < rq->n_contexts; i++)
		answers[i] = answer_context(&rq->contexts[i]);
	if (assoc_accept(a, answers) == 0 && serve_messages(a, answers) < 0)
		assoc_abort(a);
	(void)pthread_mutex_unlock(&pacs.mu);
}

static const struct received *
find(const char *uid)
{
	for (size_t i = 0; i < pacs.n; i++)
		if (strcmp(pacs.got[i].uid, uid) == 0)
			return &pacs.got[i];
	return NULL;
}

/* ---- the destination --------------------------------------------------------------- */

static struct {
	struct box *box;
	const struct config *cfg;
	struct destination *d;
	struct destination_item item[300];
	size_t n;
	uint64_t first;		/* id; 0: nothing was stored yet */
	struct destination_result result;
} us;

static int
begin(void **state)
{
	(void)setup(state);
	us.box = *state;
	us.n = 0;
	us.first = 0;
	stored_for = "pacs";
	pacs.takes[0] = pacs.takes[1] = NULL;
	pacs.not_class = pacs.only = pacs.comment = pacs.aborts_at = NULL;
	pacs.commits = NO;
	pacs.status = pacs.report_reason = 0;
	pacs.report_status = 0xffff;
	pacs.associations = pacs.asked = pacs.echoes = pacs.context_max = 0;
	pacs.bytes = 0;
	rig_start(&pacs.rig, NULL, NULL, serve, NULL);
	return 0;
}

static int
end(void **state)
{
	destination_close(us.d);
	config_unref(us.cfg);
	us.d = NULL;
	us.cfg = NULL;
	rig_stop(&pacs.rig);
	while (pacs.n > 0)
		buf_free(&pacs.got[--pacs.n].data);
	return teardown(state);
}

static void
open_destination(const char *options)
{
	static const struct config_kind *const kinds[] = {
		&destination_dimse.config, NULL }, *const none[] = { NULL };
	struct buf why AUTO(buf_free) = BUF_INIT(4096);
	AUTO_FREE char *yaml = xasprintf("spool: {directory: /nowhere}\n"
	    "destinations: [{name: pacs, type: dimse, host: 127.0.0.1, port: %u, "
	    "ae_title: PACS, connect_timeout: 2s, message_timeout: 5s, "
	    "commitment_wait: 1s%s%s}]\n", pacs.rig.port,
	    options[0] != '\0' ? ", " : "", options);

	config_set_kinds(kinds, none);
	if (config_load_text("t.yaml", yaml, strlen(yaml), &us.cfg, &why) < 0)
		fail_msg("%s", why.data);
	assert_int_equal(destination_open(us.cfg->destinations.v[0], us.box->sp,
	    &us.d, &why), 0);
}

static int
take_owed(void *arg, const struct spool_instance *in)
{
	(void)arg;
	us.item[us.n++].in = *in;
	return 0;
}

static void
put(const char *uid, size_t pixels, uint8_t fill)
{
	uint64_t id = store(us.box, STUDY, uid, pixels, fill, NULL);

	if (us.first == 0)
		us.first = id;
}

static void
collect(void)
{
	struct spool_instance in;

	us.n = 0;
	assert_int_equal(spool_instance_get(us.box->sp, us.first, &in), 0);
	assert_int_equal(spool_owed(us.box->sp, "pacs", in.study, 0, 300, take_owed,
	    NULL), 0);
}

static void
deliver(void)
{
	collect();
	assert_true(us.n > 0);
	destination_deliver(us.d, us.item, us.n, &us.result);
	assert_true(rig_wait_running(&pacs.rig, 0));
}

/* The state of a delivery as the spool has it. */
static int
copy_state(void *arg, const struct spool_delivery_row *row)
{
	*(enum spool_delivery *)arg = row->state;
	return 0;
}

/* Of the n-th that was delivered, from 1. */
static enum spool_delivery
state_of(unsigned n)
{
	enum spool_delivery s = SPOOL_DELIVERY_STATES;

	assert_int_equal(spool_deliveries(us.box->sp, us.item[n - 1].in.id, copy_state, &s), 0);
	return s;
}

static int
count_one(void *arg, const struct spool_job *job)
{
	(void)job;
	(*(unsigned *)arg)++;
	return 0;
}

static unsigned
count_jobs(void)
{
	unsigned n = 0;

	(void)spool_jobs(us.box->sp, "pacs", count_one, &n);
	return n;
}

static int
settle_like_upload(void *arg, uint64_t job, struct destination_item *items, size_t n)
{
	struct spool_verdict v[8];

	(void)arg;
	assert_true(n <= 8);
	for (size_t i = 0; i < n; i++)
		v[i] = (struct spool_verdict){ .id = items[i].in.id,
			.destination = "pacs", .job = job,
			.state = items[i].verdict == DESTINATION_OK
			    ? SPOOL_DELIVERED : SPOOL_OWED };
	return spool_settle(us.box->sp, v, n);
}

static int64_t
tend(void)
{
	int64_t next;

	destination_tend(us.d, settle_like_upload, NULL, &us.result, &next);
	assert_true(rig_wait_running(&pacs.rig, 0));
	return next;
}

static void
store_jpeg(const char *uid, const char *syntax)
{
	struct buf obj AUTO(buf_free) = BUF_INIT(1 << 20);
	struct spool_receipt rec;

	make_object(&obj, STUDY, uid, 3000, 9);
	assert_int_equal(store_as(us.box->sp, syntax, uid, &obj, &rec), 0);
	if (us.first == 0)
		us.first = rec.id;
}

/* ---- sending --------------------------------------------------------------------- */

static void
test_originals_are_sent_bit_for_bit(void **state)
{
	struct buf obj AUTO(buf_free) = BUF_INIT(8u << 20);

	(void)state;
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 5u << 20, 2);
	store_jpeg("1.2.3.3", JPEG);
	open_destination("calling_ae_title: US");
	deliver();
	assert_int_equal(us.result.health, DESTINATION_UP);
	assert_int_equal(us.n, 3);
	for (size_t i = 0; i < us.n; i++)
		assert_int_equal(us.item[i].verdict, DESTINATION_OK);
	assert_int_equal(pacs.associations, 1);
	assert_string_equal(pacs.calling, "US");
	make_object(&obj, STUDY, "1.2.3.2", 5u << 20, 2);
	assert_int_equal(find("1.2.3.2")->data.len, obj.len);
	assert_memory_equal(find("1.2.3.2")->data.data, obj.data, obj.len);
	assert_string_equal(find("1.2.3.2")->syntax, DICOM_UID_EXPLICIT_LE);
	assert_string_equal(find("1.2.3.3")->syntax, JPEG);
	assert_int_equal(us.result.bytes, pacs.bytes);
}

static void
test_implicit_only(void **state)
{
	static const char study[] = "\x20\0\x0d\0\6\0\0\0" STUDY "\0";

	(void)state;
	pacs.takes[0] = DICOM_UID_IMPLICIT_LE;
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 3u << 20, 1);
	store_jpeg("1.2.3.3", JPEG);
	open_destination("");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);
	assert_int_equal(us.item[1].verdict, DESTINATION_OK);
	assert_int_equal(us.item[2].verdict, DESTINATION_REFUSED);
	assert_non_null(strstr(us.item[2].reason, "does not take CT Image Storage in "
	    "JPEG Lossless"));
	assert_string_equal(find("1.2.3.1")->syntax, DICOM_UID_IMPLICIT_LE);
	assert_non_null(memmem(find("1.2.3.1")->data.data,
	    find("1.2.3.1")->data.len, study, 14));
	assert_true(find("1.2.3.2")->data.len > 3u << 20);
}

static void
test_what_the_site_allows_alone_is_proposed(void **state)
{
	(void)state;
	put("1.2.3.1", 100, 1);
	store_jpeg("1.2.3.2", JPEG);
	open_destination("transfer_syntaxes: 1.2.840.10008.1.2");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);
	assert_string_equal(find("1.2.3.1")->syntax, DICOM_UID_IMPLICIT_LE);
	assert_int_equal(us.item[1].verdict, DESTINATION_REFUSED);
	assert_non_null(strstr(us.item[1].reason, "transfer_syntaxes"));
}

/* 150 private syntaxes take two associations. */
static void
test_more_contexts_than_fit(void **state)
{
	char uid[32], syntax[32];

	(void)state;
	for (unsigned i = 0; i < 150; i++) {
		(void)snprintf(uid, sizeof(uid), "1.2.3.%u", i + 1);
		(void)snprintf(syntax, sizeof(syntax), "1.2.777.%u", i + 1);
		store_jpeg(uid, syntax);
	}
	open_destination("");
	deliver();
	assert_int_equal(us.result.health, DESTINATION_UP);
	for (size_t i = 0; i < us.n; i++)
		assert_int_equal(us.item[i].verdict, DESTINATION_OK);
	assert_int_equal(pacs.n, 150);
	assert_int_equal(pacs.associations, 2);
	assert_int_equal(pacs.context_max, 128);
	assert_string_equal(find("1.2.3.140")->syntax, "1.2.777.140");
}

static void
test_a_class_that_it_does_not_take(void **state)
{
	(void)state;
	pacs.not_class = CT;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_REFUSED);
	assert_non_null(strstr(us.item[0].reason, "does not take CT Image Storage"));
	assert_int_equal(us.result.health, DESTINATION_UP);
}

/* ---- answers --------------------------------------------------------------------- */

static void
test_what_each_status_means(void **state)
{
	static const struct { uint16_t status; enum destination_verdict v;
		bool soon; const char *words; } cases[] = {
		{ 0xb000, DESTINATION_WARNED, false, "coerced (B000H)" },
		{ 0xb006, DESTINATION_WARNED, false, "discarded (B006H)" },
		{ 0xb007, DESTINATION_WARNED, false, "match its SOP class" },
		{ 0xa700, DESTINATION_RETRY, true, "out of resources (A700H)" },
		{ 0xa702, DESTINATION_RETRY, true, "(A702H): \"its words?\"" },
		{ 0x0110, DESTINATION_RETRY, true, "(0110H)" },
		{ 0xa900, DESTINATION_REFUSED, false, "(A900H): \"its words?\"" },
		{ 0xc123, DESTINATION_REFUSED, false, "cannot understand" },
		{ 0x0122, DESTINATION_REFUSED, false, "SOP class (0122H)" },
		{ 0x0124, DESTINATION_REFUSED, false, "allow us" },
		{ 0x0111, DESTINATION_REFUSED, false, "already has an object" },
		{ 0x4321, DESTINATION_REFUSED, false, "it failed (4321H)" },
	};

	(void)state;
	pacs.comment = "its words\x1b";
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 100, 1);
	pacs.only = "1.2.3.1";
	open_destination("");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pacs.status = cases[i].status;
		deliver();
		assert_int_equal(us.item[0].verdict, cases[i].v);
		assert_int_equal(us.item[0].retry_soon, cases[i].soon);
		assert_non_null(strstr(us.item[0].reason, cases[i].words));
		assert_int_equal(us.item[1].verdict, DESTINATION_OK);
		assert_int_equal(us.result.health, DESTINATION_UP);
	}
	assert_string_equal(us.item[0].remote, "");
	pacs.status = 0x0111;
	deliver();
	assert_string_equal(us.item[0].remote, "1.2.3.1");
}

static void
test_out_of_resources_again_and_again(void **state)
{
	char uid[32];

	(void)state;
	pacs.status = 0xa700;
	for (unsigned i = 0; i < 6; i++) {
		(void)snprintf(uid, sizeof(uid), "1.2.3.%u", i + 1);
		put(uid, 100, 1);
	}
	open_destination("");
	deliver();
	assert_int_equal(us.result.health, DESTINATION_BUSY);
	assert_true(us.result.retry_after_ms > 0);
	assert_non_null(strstr(us.result.reason, "is its disk full?"));
	assert_int_equal(pacs.n, 3);
	assert_int_equal(us.item[5].verdict, DESTINATION_RETRY);
}

static void
test_it_dies_in_the_middle(void **state)
{
	(void)state;
	pacs.aborts_at = "1.2.3.2";
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 8u << 20, 1);
	put("1.2.3.3", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(us.result.health, DESTINATION_FAILED);
	assert_non_null(strstr(us.result.reason, "image"));
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);
	assert_int_equal(us.item[1].verdict, DESTINATION_RETRY);
	assert_int_equal(us.item[2].verdict, DESTINATION_RETRY);
}

static void
test_rule_3_versions(void **state)
{
	(void)state;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	(void)settle_like_upload(NULL, 0, us.item, 1);
	put("1.2.3.1", 200, 2);
	deliver();
	assert_int_equal(us.item[0].in.version, 2);
	assert_int_equal(us.item[0].verdict, DESTINATION_REFUSED);
	assert_non_null(strstr(us.item[0].reason, "on_conflict: replace"));
	assert_int_equal(pacs.n, 1);
	destination_close(us.d);
	config_unref(us.cfg);
	open_destination("on_conflict: replace");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);
	assert_int_equal(pacs.n, 2);
}

/* Invariant 11: what is damaged here is never whole there, and costs the others
 * nothing. */
static void
damage(const char *dir, unsigned at_byte)
{
	char cmd[300];

	(void)snprintf(cmd, sizeof(cmd), "f=$(find '%s' -type f -size +2000k "
	    "-size -9000k | head -1); printf X | dd of=\"$f\" bs=1 seek=%u "
	    "conv=notrunc 2>/dev/null", dir, at_byte);
	assert_int_equal(system(cmd), 0);
}

static void
test_damaged_bytes_are_never_whole(void **state)
{
	(void)state;
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 3u << 20, 1);
	put("1.2.3.3", 100, 1);
	damage(us.box->dir, 2u << 20);
	open_destination("");
	deliver();
	assert_int_equal(us.item[1].verdict, DESTINATION_DAMAGED);
	assert_null(find("1.2.3.2"));
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);
	assert_int_equal(us.item[2].verdict, DESTINATION_OK);
	assert_int_equal(us.result.health, DESTINATION_UP);
}

/* ---- the destination itself -------------------------------------------------------- */

static void
test_probing(void **state)
{
	(void)state;
	open_destination("");
	destination_probe(us.d, &us.result);
	assert_int_equal(us.result.health, DESTINATION_UP);
	assert_true(rig_wait_running(&pacs.rig, 0));
	assert_int_equal(pacs.echoes, 1);
	destination_close(us.d);
	config_unref(us.cfg);
	open_destination("commitment: required");
	destination_probe(us.d, &us.result);
	assert_int_equal(us.result.health, DESTINATION_DOWN);
	assert_non_null(strstr(us.result.reason, "does not offer storage commitment"));
}

static void
test_cancel(void **state)
{
	(void)state;
	put("1.2.3.1", 100, 1);
	open_destination("");
	destination_cancel(us.d);
	deliver();
	assert_int_equal(us.result.health, DESTINATION_CANCELED);
	assert_int_equal(us.item[0].verdict, DESTINATION_RETRY);
}

static void
test_the_rate_holds(void **state)
{
	int64_t begin_ms;

	(void)state;
	put("1.2.3.1", 300000, 1);
	open_destination("rate: 4Mbit");
	begin_ms = clock_mono_ms();
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);
	assert_in_range(clock_mono_ms() - begin_ms, 400, 3000);	/* 600 ms */
}

/* ---- storage commitment ------------------------------------------------------------ */

static void
test_commitment_on_the_same_association(void **state)
{
	(void)state;
	pacs.commits = SAME_ASSOCIATION;
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(us.result.health, DESTINATION_UP);
	assert_int_equal(us.item[0].verdict, DESTINATION_SENT);
	assert_int_equal(pacs.asked, 1);
	assert_int_equal(pacs.report_status, 0);
	assert_int_equal(state_of(1), SPOOL_DELIVERED);
	assert_int_equal(state_of(2), SPOOL_DELIVERED);
	assert_int_equal(count_jobs(), 0);
}

static void
test_a_warning_outlives_the_commitment(void **state)
{
	(void)state;
	pacs.commits = SAME_ASSOCIATION;
	pacs.status = 0xb000;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(state_of(1), SPOOL_WARNED);
}

static void
test_commitment_that_fails(void **state)
{
	(void)state;
	pacs.commits = SAME_ASSOCIATION;
	pacs.only = "1.2.3.1";
	pacs.report_reason = 0x0119;
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(state_of(1), SPOOL_REFUSED);
	assert_int_equal(state_of(2), SPOOL_DELIVERED);
	assert_int_equal(count_jobs(), 0);
}

static void
test_commitment_that_comes_later(void **state)
{
	struct dicom_commitment c = { .n = 0 };
	struct dicom_reference r = { .sop_class = CT, .sop_instance = "1.2.3.1" };
	struct buf text AUTO(buf_free) = BUF_INIT(1000);
	struct buf alarm AUTO(buf_free) = BUF_INIT(1000);
	int64_t begin_ms = clock_mono_ms();

	(void)state;
	pacs.commits = LATER;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	assert_true(clock_mono_ms() - begin_ms >= 1000);	/* commitment_wait */
	assert_int_equal(us.item[0].verdict, DESTINATION_SENT);
	assert_int_equal(state_of(1), SPOOL_SENT);
	destination_describe(us.d, &text, &alarm);
	assert_non_null(strstr(text.data, "of 1 instance is awaited"));
	assert_int_equal(alarm.len, 0);
	assert_true(tend() > clock_mono_ms() + 60000);
	assert_int_equal(pacs.asked, 1);
	memcpy(c.transaction, pacs.transaction, sizeof(c.transaction));
	assert_int_equal(dicom_commitment_add(&c, &r), 0);
	assert_int_equal(destination_take_report(us.cfg, us.box->sp, "OTHER", &c),
	    -ENOENT);
	assert_int_equal(destination_take_report(us.cfg, us.box->sp, "PACS", &c), 0);
	assert_int_equal(state_of(1), SPOOL_DELIVERED);
	assert_int_equal(destination_take_report(us.cfg, us.box->sp, "PACS", &c),
	    -ENOENT);
	dicom_commitment_free(&c);
}

static void
test_it_is_asked_again(void **state)
{
	char first[DICOM_UID_MAX + 1];

	(void)state;
	pacs.commits = LATER;
	put("1.2.3.1", 100, 1);
	open_destination("commitment_within: 1s");
	deliver();
	memcpy(first, pacs.transaction, sizeof(first));
	pacs.commits = SAME_ASSOCIATION;
	/* A restart does not know what became of the question. */
	destination_close(us.d);
	config_unref(us.cfg);
	open_destination("");
	(void)tend();
	assert_int_equal(us.result.health, DESTINATION_UP);
	assert_int_equal(pacs.asked, 2);
	assert_string_not_equal(pacs.transaction, first);
	assert_int_equal(state_of(1), SPOOL_DELIVERED);
	assert_int_equal(count_jobs(), 0);
}

static void
test_it_is_asked_again_when_nothing_comes(void **state)
{
	(void)state;
	pacs.commits = LATER;
	put("1.2.3.1", 100, 1);
	open_destination("commitment_within: 1s");
	deliver();
	rig_pause(1100);
	(void)tend();
	assert_int_equal(pacs.asked, 2);
	assert_int_equal(state_of(1), SPOOL_SENT);
}

static int
copy_id(void *arg, const struct spool_job *job)
{
	*(uint64_t *)arg = job->id;
	return 1;
}

/* What a report said is acted upon when its time has come. */
static void
test_after_a_failure_it_is_asked_or_sent_again(void **state)
{
	struct spool_instance in;
	uint64_t job = 0;

	(void)state;
	pacs.commits = SAME_ASSOCIATION;
	pacs.report_reason = 0x0110;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(state_of(1), SPOOL_SENT);
	assert_int_equal(count_jobs(), 1);
	(void)spool_jobs(us.box->sp, "pacs", copy_id, &job);
	assert_true(tend() > clock_mono_ms() + 60000);
	assert_int_equal(pacs.asked, 1);
	assert_int_equal(spool_job_set(us.box->sp, job, "{\"transaction\":\"2.25.1\","
	    "\"asked\":1,\"due\":2,\"why\":\"x\",\"tries\":3}"), 0);
	(void)tend();
	assert_int_equal(pacs.asked, 2);
	assert_int_equal(pacs.n, 1);
	assert_int_equal(spool_job_set(us.box->sp, job, "{\"transaction\":\"2.25.1\","
	    "\"asked\":1,\"due\":2,\"why\":\"x\",\"missing\":true}"), 0);
	(void)tend();
	assert_int_equal(pacs.asked, 2);
	assert_int_equal(state_of(1), SPOOL_OWED);
	assert_int_equal(count_jobs(), 0);
	in = us.item[0].in;
	pacs.report_reason = 0;
	deliver();
	assert_int_equal(us.item[0].in.id, in.id);
	assert_int_equal(pacs.n, 2);
	assert_int_equal(state_of(1), SPOOL_DELIVERED);
}

static void
test_a_question_that_breaks(void **state)
{
	(void)state;
	pacs.commits = BREAKS;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_SENT);
	assert_int_equal(state_of(1), SPOOL_SENT);
	assert_in_range(tend() - clock_mono_ms(), 1000, 60000);
}

static void
test_a_pacs_that_refuses_to_commit(void **state)
{
	(void)state;
	pacs.commits = REFUSES;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);	/* by its word */
	assert_int_equal(state_of(1), SPOOL_OWED);
	assert_int_equal(count_jobs(), 0);
	destination_close(us.d);
	config_unref(us.cfg);
	open_destination("commitment: required");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_RETRY);
	assert_true(us.item[0].retry_soon);
	assert_non_null(strstr(us.item[0].reason, "refuses storage commitment "
	    "(0213H)"));
	pacs.commits = NO;
	deliver();
	assert_int_equal(us.result.health, DESTINATION_DOWN);
	assert_int_equal(pacs.n, 2);	/* nothing is sent in vain */
}

static void
test_what_waits_is_settled_when_it_is_not_wanted_any_more(void **state)
{
	(void)state;
	pacs.commits = LATER;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	assert_int_equal(state_of(1), SPOOL_SENT);
	destination_close(us.d);
	config_unref(us.cfg);
	open_destination("commitment: never");
	(void)tend();
	assert_int_equal(state_of(1), SPOOL_DELIVERED);
	assert_int_equal(count_jobs(), 0);
	assert_int_equal(pacs.associations, 1);
}

/* Its Success of before counts no more once it has reported a failure. */
static void
test_what_was_reported_as_failed_is_not_delivered_by_word(void **state)
{
	static const char *const options[] = { "", "commitment: never" };
	uint64_t job = 0;

	(void)state;
	pacs.commits = SAME_ASSOCIATION;
	pacs.report_reason = 0x0110;
	put("1.2.3.1", 100, 1);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		open_destination("");
		pacs.commits = SAME_ASSOCIATION;
		deliver();
		assert_int_equal(state_of(1), SPOOL_SENT);
		(void)spool_jobs(us.box->sp, "pacs", copy_id, &job);
		assert_int_equal(spool_job_set(us.box->sp, job,
		    "{\"transaction\":\"2.25.1\",\"asked\":1,\"due\":2,"
		    "\"why\":\"x\"}"), 0);
		destination_close(us.d);
		config_unref(us.cfg);
		open_destination(options[i]);
		pacs.commits = REFUSES;
		(void)tend();
		assert_int_equal(state_of(1), SPOOL_OWED);
		assert_int_equal(count_jobs(), 0);
		destination_close(us.d);
		config_unref(us.cfg);
	}
	open_destination("");
	deliver();
	assert_int_equal(us.item[0].verdict, DESTINATION_OK);	/* its last word */
}

/* In ten years, by a clock that was wrong then. */
static void
test_a_job_from_the_future_is_asked_for_now(void **state)
{
	uint64_t job = 0;

	(void)state;
	pacs.commits = LATER;
	put("1.2.3.1", 100, 1);
	open_destination("");
	deliver();
	(void)spool_jobs(us.box->sp, "pacs", copy_id, &job);
	assert_int_equal(spool_job_set(us.box->sp, job, "{\"transaction\":"
	    "\"2.25.1\",\"asked\":9000000000000,\"due\":9000000600000}"), 0);
	(void)tend();
	assert_int_equal(pacs.asked, 2);
	assert_true(tend() > clock_mono_ms() + 60000);
	assert_int_equal(pacs.asked, 2);
}

static void
test_jobs_of_another_kind_are_owed_again(void **state)
{
	struct spool_verdict v = { .destination = "pacs", .state = SPOOL_SENT };

	(void)state;
	put("1.2.3.1", 100, 1);
	open_destination("commitment: never");
	collect();
	v.id = us.item[0].in.id;
	assert_int_equal(spool_job_new(us.box->sp, "pacs", "{\"phase\":\"running\"}",
	    &v.job), 0);
	assert_int_equal(spool_settle(us.box->sp, &v, 1), 0);
	assert_int_equal(state_of(1), SPOOL_SENT);
	(void)tend();
	assert_int_equal(state_of(1), SPOOL_OWED);
	assert_int_equal(count_jobs(), 0);
}

static void
test_what_it_holds(void **state)
{
	struct destination_look look[2];

	(void)state;
	pacs.commits = SAME_ASSOCIATION;
	put("1.2.3.1", 100, 1);
	put("1.2.3.2", 100, 1);
	open_destination("");
	deliver();
	memset(look, 0, sizeof(look));
	look[0].in = us.item[0].in;
	look[1].in = us.item[1].in;
	pacs.only = "1.2.3.2";
	pacs.report_reason = 0x0112;
	assert_int_equal(destination_verify(us.d, look, 2, false, &us.result), 0);
	assert_true(rig_wait_running(&pacs.rig, 0));
	assert_int_equal(look[0].presence, DESTINATION_THERE);
	assert_int_equal(look[1].presence, DESTINATION_MISSING);
	assert_non_null(strstr(look[1].reason, "does not have this object"));
	assert_int_equal(pacs.report_status, 0);
	assert_int_equal(destination_verify(us.d, look, 2, true, &us.result),
	    -ENOTSUP);
	pacs.commits = NO;
	assert_int_equal(destination_verify(us.d, look, 2, false, &us.result), 0);
	assert_int_equal(look[0].presence, DESTINATION_UNKNOWN);
	assert_non_null(strstr(look[0].reason, "offers no storage commitment"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_originals_are_sent_bit_for_bit),
		TEST(test_implicit_only),
		TEST(test_what_the_site_allows_alone_is_proposed),
		TEST(test_more_contexts_than_fit),
		TEST(test_a_class_that_it_does_not_take),
		TEST(test_what_each_status_means),
		TEST(test_out_of_resources_again_and_again),
		TEST(test_it_dies_in_the_middle),
		TEST(test_rule_3_versions),
		TEST(test_damaged_bytes_are_never_whole),
		TEST(test_probing),
		TEST(test_cancel),
		TEST(test_the_rate_holds),
		TEST(test_commitment_on_the_same_association),
		TEST(test_a_warning_outlives_the_commitment),
		TEST(test_commitment_that_fails),
		TEST(test_commitment_that_comes_later),
		TEST(test_it_is_asked_again),
		TEST(test_it_is_asked_again_when_nothing_comes),
		TEST(test_after_a_failure_it_is_asked_or_sent_again),
		TEST(test_a_question_that_breaks),
		TEST(test_a_pacs_that_refuses_to_commit),
		TEST(test_what_waits_is_settled_when_it_is_not_wanted_any_more),
		TEST(test_what_was_reported_as_failed_is_not_delivered_by_word),
		TEST(test_a_job_from_the_future_is_asked_for_now),
		TEST(test_jobs_of_another_kind_are_owed_again),
		TEST(test_what_it_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
