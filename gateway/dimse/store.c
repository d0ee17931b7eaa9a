/* store.c - C-STORE (PS3.4 annex B, PS3.7 9.1.1): the promise.
 *
 * The answer begins as a refusal, and only spool_commit() == 0 makes it a success.
 * Whatever is wrong, the data set is read to its end first: a peer that is still
 * sending does not listen. Its bytes go to the spool as they come, and the same
 * bytes feed the reader of the head, so an object is never in memory.
 *
 * Strict in promises, lenient in reading (rule 15): what can be found again is
 * kept, and what is odd about it is counted and logged, not refused.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/dimse/callers_int.h"
#include "gateway/dimse/dimse_int.h"

#define STATUS_INVALID_INSTANCE 0x0117	/* PS3.7 C.5.10 */
#define TAG_COMMAND_INSTANCE	0x00001000

DEFINE_CLEANUP(struct spool_put, spool_put_free)
DEFINE_CLEANUP(struct dicom_head_reader, dicom_head_reader_free)

struct store {
	struct session		   *session;
	const struct dicom_command *rq;
	struct dicom_command	    answer;
	bool	 refused;		/* answer says why; the first reason stays */
	uint64_t length;
	struct spool_put	 *put;	/* NULL once refused at the start */
	struct dicom_head_reader *head;
	int	 head_state;		/* of the reader: 0 goes on */
	bool	 study_told;
};

/* What the spool's errors mean to a sender: A7xx is worth another try. */
static const struct {
	int	    error;
	uint16_t    status;
	const char *comment;
} spool_errors[] = {
	{ -ENOSPC, DICOM_STATUS_OUT_OF_RESOURCES, "the gateway's disk is full" },
	{ -EIO, DICOM_STATUS_OUT_OF_RESOURCES, "the gateway's disk failed" },
	{ -ENOMEM, DICOM_STATUS_OUT_OF_RESOURCES, "the gateway is out of memory" },
	{ -EBADMSG, DICOM_STATUS_UNREADABLE, "the data set cannot be read" },
	{ 0, DICOM_STATUS_OUT_OF_RESOURCES, "the gateway could not store it" },
};

/* LO: a line of plain text, whatever the peer calls itself. */
static void
clean_comment(char *s)
{
	for (; *s != '\0'; s++)
		if (*s < ' ' || *s > '~' || *s == '\\')
			*s = '?';
}

static void __attribute__((format(printf, 4, 5)))
refuse(struct store *st, uint16_t status, uint32_t element, const char *fmt, ...)
{
	va_list ap;

	if (st->refused)
		return;
	st->refused = true;
	st->answer.status = status;
	st->answer.offending_element = element;
	va_start(ap, fmt);
	(void)vsnprintf(st->answer.error_comment,
	    sizeof(st->answer.error_comment), fmt, ap);
	va_end(ap);
	clean_comment(st->answer.error_comment);
}

static void
refuse_error(struct store *st, int error)
{
	size_t i = 0;

	while (spool_errors[i].error != 0 && spool_errors[i].error != error)
		i++;
	refuse(st, spool_errors[i].status, 0, "%s", spool_errors[i].comment);
}

static void
warn_once(struct store *st, const char *what, const char *detail)
{
	struct session *s = st->session;

	if (s->warned++ >= WARNINGS_LOGGED)
		return;
	log_warn("stored, but odd", LOG_U64("assoc", assoc_id(s->assoc)),
	    LOG_STR("calling", s->request->calling),
	    LOG_STR("instance", st->rq->sop_instance), LOG_STR("what", what),
	    LOG_STR("detail", detail));
}

/* ---- before the data set ------------------------------------------------------ */

static enum spool_priority
choose_priority(const struct session *s, const struct dicom_command *rq)
{
	enum { MEDIUM = 0, HIGH = 1, LOW = 2 };	/* PS3.7 E.1-1 (0000,0700) */
	const struct config_peer *p = s->verdict.peer;
	enum spool_priority fixed = SPOOL_NORMAL;

	if (p == NULL)
		return SPOOL_NORMAL;
	if (p->priority == CONFIG_PRIORITY_STAT)
		return SPOOL_STAT;
	if (p->priority == CONFIG_PRIORITY_LOW)
		fixed = SPOOL_LOW;
	if (!p->trust_priority || !rq->has_priority)
		return fixed;
	return rq->priority == HIGH ? SPOOL_STAT
	    : rq->priority == LOW ? SPOOL_LOW : fixed;
}

static void
check_command(struct store *st, const struct assoc_context *context)
{
	const struct session *s = st->session;
	const char *unroutable;

	if ((s->verdict.allow & CONFIG_ALLOW_STORE) == 0)
		refuse(st, DICOM_STATUS_NOT_AUTHORIZED, 0,
		    "%s may not store here", s->request->calling);
	if (negotiate_service(context) != DICOM_SERVICE_STORAGE)
		refuse(st, DICOM_STATUS_CLASS_UNSUPPORTED, 0,
		    "this presentation context is not for storage");
	if (st->rq->sop_instance[0] == '\0')
		refuse(st, DICOM_STATUS_UNREADABLE, TAG_COMMAND_INSTANCE,
		    "the command names no SOP instance");
	else if (!dicom_uid_tolerable(st->rq->sop_instance))
		refuse(st, STATUS_INVALID_INSTANCE, TAG_COMMAND_INSTANCE,
		    "the SOP Instance UID is no UID");
	unroutable = policy_unroutable(s->config, s->request->calling,
	    s->request->called);
	if (unroutable != NULL)
		refuse(st, DICOM_STATUS_OUT_OF_RESOURCES, 0, "%s", unroutable);
}

static struct spool_source *
open_source(struct session *s)
{
	struct spool_origin origin = { 0 };

	if (s->source == NULL) {
		memcpy(origin.calling, s->request->calling, sizeof(origin.calling));
		memcpy(origin.called, s->request->called, sizeof(origin.called));
		memcpy(origin.address, s->request->address,
		    sizeof(origin.address));
		s->source = spool_source_open(s->dimse->spool, &origin);
	}
	return s->source;
}

static void
begin_put(struct store *st, const struct assoc_context *context,
    const struct assoc_answer *negotiated)
{
	const struct dicom_command *rq = st->rq;
	struct spool_put_head head = {
		.priority = choose_priority(st->session, rq),
		.originator_id = rq->has_originator_id ? rq->originator_id : 0,
	};
	int e;

	memcpy(head.sop_class, rq->sop_class[0] != '\0' ? rq->sop_class
	    : context->abstract_syntax, sizeof(head.sop_class));
	memcpy(head.sop_instance, rq->sop_instance, sizeof(head.sop_instance));
	memcpy(head.originator_title, rq->originator_title,
	    sizeof(head.originator_title));
	(void)snprintf(head.syntax, sizeof(head.syntax), "%s", negotiated->syntax);
	if (st->session->verdict.peer != NULL &&
	    st->session->verdict.peer->assume_charset != NULL)
		(void)snprintf(head.assume_charset, sizeof(head.assume_charset),
		    "%s", st->session->verdict.peer->assume_charset);
	e = spool_put_begin(open_source(st->session), &head, &st->put);
	if (e < 0)
		refuse_error(st, e);
}

/* ---- the data set --------------------------------------------------------------- */

/* Once, as soon as it is known, so that the study counts as busy. */
static void
tell_study(struct store *st)
{
	const struct dicom_head *h = dicom_head_reader_head(st->head);
	const char *uid = dicom_head_get(h, DICOM_HEAD_STUDY_UID, NULL);

	if (st->study_told || !dicom_uid_tolerable(uid))
		return;
	st->study_told = true;
	spool_put_study(st->put, uid);
}

static void
take_portion(void *arg, const void *data, size_t len)
{
	struct store *st = arg;

	st->length += len;
	if (st->put == NULL)
		return;
	(void)spool_put_write(st->put, data, len);
	if (st->head_state == 0)
		st->head_state = dicom_head_reader_feed(st->head, data, len);
	tell_study(st);
}

/* ---- after it --------------------------------------------------------------------- */

static void
name_missing(struct store *st, const struct dicom_head *h)
{
	static const struct { enum dicom_head_id id; const char *name; } need[] = {
		{ DICOM_HEAD_SOP_INSTANCE, "SOP Instance UID" },
		{ DICOM_HEAD_STUDY_UID, "Study Instance UID" },
		{ DICOM_HEAD_SERIES_UID, "Series Instance UID" },
	};

	if (st->head_state < 0)
		refuse(st, DICOM_STATUS_UNREADABLE, 0, "unreadable: %s",
		    dicom_head_reader_reason(st->head));
	for (size_t i = 0; i < ARRAY_LEN(need); i++)
		if (dicom_head_get(h, need[i].id, NULL)[0] == '\0')
			refuse(st, DICOM_STATUS_UNREADABLE,
			    dicom_head_spec(need[i].id)->tag, "%s is missing",
			    need[i].name);
}

static void
check_uid(struct store *st, const struct dicom_head *h, enum dicom_head_id id,
    const char *in_command)
{
	const char *uid = dicom_head_get(h, id, NULL);
	uint32_t tag = dicom_head_spec(id)->tag;

	if (uid[0] == '\0')
		return;
	if (!dicom_uid_tolerable(uid))
		refuse(st, DICOM_STATUS_UNREADABLE, tag, "a UID that is none");
	else if (!dicom_uid_ok(uid))
		warn_once(st, "ill-formed UID", uid);
	if (in_command != NULL && in_command[0] != '\0' &&
	    strcmp(uid, in_command) != 0)
		refuse(st, DICOM_STATUS_MISMATCH, tag,
		    "data set and command name different UIDs");
}

static void
check_head(struct store *st, const struct dicom_head *h)
{
	if (!dicom_head_identified(h)) {
		name_missing(st, h);
		/* The table's three are what identifies; be safe if it grows. */
		refuse(st, DICOM_STATUS_UNREADABLE, 0, "not identified");
		return;
	}
	check_uid(st, h, DICOM_HEAD_SOP_CLASS, st->rq->sop_class);
	check_uid(st, h, DICOM_HEAD_SOP_INSTANCE, st->rq->sop_instance);
	check_uid(st, h, DICOM_HEAD_STUDY_UID, NULL);
	check_uid(st, h, DICOM_HEAD_SERIES_UID, NULL);
	if (!st->refused && st->head_state < 0)
		warn_once(st, "its head is not readable to the end",
		    dicom_head_reader_reason(st->head));
}

static void
count_stored(struct store *st, const struct spool_receipt *receipt)
{
	struct session *s = st->session;

	atomic_fetch_add(&s->stored, 1);
	atomic_fetch_add(&s->bytes, st->length);
	metric_add(METRIC_STORED, 1);
	metric_add(METRIC_RECEIVED_BYTES, st->length);
	if (receipt->outcome == SPOOL_SAME ||
	    receipt->outcome == SPOOL_OWED_AGAIN) {
		s->duplicates++;
		metric_add(METRIC_DUPLICATES, 1);
	}
	callers_note_store(s->dimse->callers, s->request, true, st->length);
}

static void
commit_put(struct store *st)
{
	struct spool_receipt receipt;
	int e;

	if (st->length == 0)
		refuse(st, DICOM_STATUS_UNREADABLE, 0, "the data set is empty");
	if (st->refused)
		return;
	if (st->head_state == 0)
		st->head_state = dicom_head_reader_end(st->head);
	check_head(st, dicom_head_reader_head(st->head));
	if (st->refused)
		return;
	spool_put_describe(st->put, dicom_head_reader_head(st->head));
	e = spool_commit(&st->put, &receipt);
	if (e < 0) {
		refuse_error(st, e);
		return;
	}
	st->answer.status = DICOM_STATUS_SUCCESS;
	count_stored(st, &receipt);
}

static void
count_refused(struct store *st)
{
	struct session *s = st->session;

	metric_add(METRIC_STORE_REFUSED, 1);
	callers_note_store(s->dimse->callers, s->request, false, 0);
	if (s->refused++ >= WARNINGS_LOGGED)
		return;
	log_warn("instance refused", LOG_U64("assoc", assoc_id(s->assoc)),
	    LOG_STR("calling", s->request->calling),
	    LOG_STR("instance", st->rq->sop_instance),
	    LOG_HEX("status", st->answer.status),
	    LOG_STR("why", st->answer.error_comment));
}

int
serve_store(struct session *s, const struct dicom_command *rq, uint8_t context)
{
	struct spool_put *put AUTO(cleanup_spool_put_free) = NULL;
	struct dicom_head_reader *head AUTO(cleanup_dicom_head_reader_free) = NULL;
	const struct assoc_answer *negotiated;
	const struct assoc_context *c = session_context(s, context, &negotiated);
	struct store st = { .session = s, .rq = rq,
		.answer = { .status = DICOM_STATUS_OUT_OF_RESOURCES } };
	int e = 0;

	check_command(&st, c);
	head = dicom_head_reader_new(dicom_syntax_find(negotiated->syntax));
	st.head = head;
	if (!st.refused)
		begin_put(&st, c, negotiated);
	if (dicom_command_has_dataset(rq))
		e = session_read_dataset(s, context, take_portion, &st);
	if (e == 0)
		commit_put(&st);
	put = st.put;
	if (e < 0)
		return e;
	if (st.refused)
		count_refused(&st);
	return session_respond(s, context, rq, &st.answer);
}
