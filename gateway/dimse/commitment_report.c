/* commitment_report.c - N-EVENT-REPORT of storage commitment (PS3.4 J.3.3): a PACS that a
 * destination of kind `dimse` has asked tells on an association of its own what it
 * keeps.
 *
 * Only the title of such a destination is heard, and what it says counts only for
 * instances that were sent to it and asked for under that transaction. The answer is
 * Success when all of it is durable, so a PACS that repeats what failed loses nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "gateway/destination/destination.h"
#include "gateway/dicom/commitment.h"
#include "gateway/dimse/dimse_int.h"

#define STATUS_NO_SUCH_EVENT 0x0113	/* PS3.7 C.5.12 */
#define STATUS_INVALID_ARGUMENT 0x0115	/* PS3.7 C.5.9 */

static void
collect(void *arg, const void *data, size_t len)
{
	(void)buf_add(arg, data, len);
}

static size_t
count_failed(const struct dicom_commitment *report)
{
	size_t n = 0;

	for (size_t i = 0; i < report->n; i++)
		n += report->v[i].failed;
	return n;
}

static uint16_t
refuse(struct session *s, struct dicom_command *rsp, uint16_t status,
    const char *why)
{
	(void)snprintf(rsp->error_comment, sizeof(rsp->error_comment), "%s", why);
	if (s->refused++ < WARNINGS_LOGGED)
		log_warn("commitment report refused",
		    LOG_U64("assoc", assoc_id(s->assoc)),
		    LOG_STR("calling", s->request->calling),
		    LOG_HEX("status", status), LOG_STR("why", why));
	return status;
}

static uint16_t
take_report(struct session *s, const struct dicom_commitment *report,
    struct dicom_command *rsp)
{
	int e = destination_take_report(s->config, s->dimse->spool,
	    s->request->calling, report);

	if (e == -ENOENT)
		return refuse(s, rsp, DICOM_COMMITMENT_PROCESSING,
		    "no such transaction is open here");
	if (e < 0)
		return refuse(s, rsp, DICOM_COMMITMENT_PROCESSING,
		    "the gateway could not store it");
	s->reports++;
	log_info("commitment report", LOG_U64("assoc", assoc_id(s->assoc)),
	    LOG_STR("calling", s->request->calling),
	    LOG_STR("transaction", report->transaction),
	    LOG_U64("instances", report->n),
	    LOG_U64("failed", count_failed(report)));
	return DICOM_STATUS_SUCCESS;
}

static uint16_t
judge(struct session *s, const struct dicom_command *rq, const char *syntax,
    const struct buf *data, struct dicom_command *rsp)
{
	struct dicom_commitment report;
	uint16_t status;

	if (rq->event_type != DICOM_COMMITMENT_DONE &&
	    rq->event_type != DICOM_COMMITMENT_FAILURES)
		return refuse(s, rsp, STATUS_NO_SUCH_EVENT, "no such event type");
	if (buf_error(data) != 0 || dicom_commitment_parse(data->data, data->len,
	    dicom_syntax_find(syntax), &report) < 0)
		return refuse(s, rsp, STATUS_INVALID_ARGUMENT,
		    "the data set is no report that can be read");
	status = take_report(s, &report, rsp);
	dicom_commitment_free(&report);
	return status;
}

int
serve_commitment_report(struct session *s, const struct dicom_command *rq,
    uint8_t context)
{
	struct buf data AUTO(buf_free) = BUF_INIT(DICOM_COMMITMENT_BYTES);
	struct dicom_command rsp = { .event_type = rq->event_type,
		.has_event_type = rq->has_event_type };
	const struct assoc_answer *negotiated;
	const struct assoc_context *c = session_context(s, context, &negotiated);
	int e;

	if (dicom_command_has_dataset(rq)) {
		e = session_read_dataset(s, context, collect, &data);
		if (e < 0)
			return e;
	}
	/* Such a context was accepted of those alone who may report. */
	if (strcmp(c->abstract_syntax, DICOM_UID_COMMITMENT) != 0)
		rsp.status = refuse(s, &rsp, DICOM_STATUS_CLASS_UNSUPPORTED,
		    "this presentation context is not for commitment");
	else
		rsp.status = judge(s, rq, negotiated->syntax, &data, &rsp);
	return session_respond(s, context, rq, &rsp);
}
