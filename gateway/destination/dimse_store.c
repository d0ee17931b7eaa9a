/* dimse_store.c - one C-STORE (PS3.4 annex B, PS3.7 9.1.1) from the side that sends, and
 * what its answer means for the instance.
 *
 * Success counts as a PACS's word; what the site wants beyond that, storage commitment
 * gives. A PACS cannot be asked for bytes by this way (rule 3), so "it is there" is
 * believed only of bytes that we sent ourselves before.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/destination/dimse_int.h"

#define STATUS_DUPLICATE 0x0111		/* PS3.7 C.5.7 */
#define STATUS_PROCESSING 0x0110
#define STATUS_CANCEL	 0xfe00

bool
pacs_is_warning(uint16_t status)
{
	return status == 0x0001 || status == 0x0107 || status == 0x0116 ||
	    (status & 0xf000) == 0xb000;
}

static const char *
describe_status(uint16_t status)
{
	static const struct { uint16_t status; const char *words; } exact[] = {
		{ 0xb000, "data elements were coerced" },
		{ 0xb006, "data elements were discarded" },
		{ 0xb007, "the data set does not match its SOP class" },
		{ STATUS_PROCESSING, "it failed to process it" },
		{ STATUS_DUPLICATE, "it already has an object under this UID" },
		{ 0x0117, "it does not like the SOP Instance UID" },
		{ 0x0122, "it does not store this SOP class" },
		{ 0x0124, "it does not allow us to store" },
		{ STATUS_CANCEL, "it was canceled there" },
	};

	for (size_t i = 0; i < ARRAY_LEN(exact); i++)
		if (exact[i].status == status)
			return exact[i].words;
	switch (status & 0xff00) {
	case 0xa700:
		return "it is out of resources";
	case 0xa900:
		return "the data set does not match its SOP class";
	default:
		return (status & 0xf000) == 0xc000 ? "it cannot understand the data "
		    "set" : pacs_is_warning(status) ? "a warning" : "it failed";
	}
}

void
pacs_print_comment(const struct dicom_command *rsp, char dst[static 80])
{
	size_t n;

	if (rsp->error_comment[0] == '\0') {
		dst[0] = '\0';
		return;
	}
	(void)snprintf(dst, 80, ": \"%s\"", rsp->error_comment);
	n = strlen(dst);
	for (size_t i = 0; i < n; i++)
		if (dst[i] < ' ' || dst[i] > '~')
			dst[i] = '?';
}

/* Whose bytes those are it does not say, and an index may have forgotten whether
 * they were ours: an operator, who can look there, decides. */
static void
judge_duplicate(const struct pacs *p, struct destination_item *item)
{
	pacs_settle(item, DESTINATION_REFUSED, "%s already has an object under this "
	    "UID (0111H), and cannot be asked whether it is this one",
	    p->o->ae_title);
	(void)snprintf(item->remote, sizeof(item->remote), "%s",
	    item->in.sop_instance);
}

static void
judge_answer(const struct pacs *p, struct destination_item *item,
    const struct dicom_command *rsp)
{
	uint16_t status = rsp->status;
	enum destination_verdict v = DESTINATION_REFUSED;
	char comment[80];

	if (status == DICOM_STATUS_SUCCESS) {
		pacs_settle(item, DESTINATION_OK, "%s", "");
		return;
	}
	if (status == STATUS_DUPLICATE) {
		judge_duplicate(p, item);
		return;
	}
	if (pacs_is_warning(status))
		v = DESTINATION_WARNED;
	else if ((status & 0xff00) == DICOM_STATUS_OUT_OF_RESOURCES ||
	    status == STATUS_PROCESSING || status == STATUS_CANCEL)
		v = DESTINATION_RETRY;
	pacs_print_comment(rsp, comment);
	pacs_settle(item, v, "%s: %s (%04XH)", p->o->ae_title,
	    describe_status(status), status);
	destination_quote(item, comment[0] != '\0' ? comment + strlen(": ") : "");
	item->retry_soon = v == DESTINATION_RETRY;
}

/* ---- the exchange ------------------------------------------------------------- */

static uint16_t
choose_priority(enum spool_priority p)
{
	enum { MEDIUM = 0, HIGH = 1, LOW = 2 };	/* PS3.7 E.1-1 (0000,0700) */

	return p == SPOOL_STAT ? HIGH : p == SPOOL_LOW ? LOW : MEDIUM;
}

static int
send_request(struct pacs_call *c, const struct spool_instance *in, uint8_t context,
    uint16_t *ret_id)
{
	struct dicom_command rq = { .field = DICOM_C_STORE_RQ,
		.message_id = pacs_call_next_id(c), .has_priority = true,
		.priority = choose_priority(in->priority),
		.dataset_type = DICOM_DATASET_PRESENT };

	memcpy(rq.sop_class, in->sop_class, sizeof(rq.sop_class));
	memcpy(rq.sop_instance, in->sop_instance, sizeof(rq.sop_instance));
	*ret_id = rq.message_id;
	return assoc_send_message(c->a, context, &rq, NULL, 0);
}

static int
read_answer(struct pacs_call *c, uint16_t id, struct dicom_command *ret)
{
	uint8_t context;
	int r = assoc_read_command(c->a, true, ret, &context);

	if (r == 1)
		return -ECONNABORTED;	/* released instead of an answer */
	if (r < 0)
		return r;
	return ret->field == DICOM_C_STORE_RSP && ret->responding_to == id &&
	    !dicom_command_has_dataset(ret) ? 0 : -EPROTO;
}

static enum pacs_sending
exchange(struct pacs_call *c, struct destination_item *item, uint8_t context,
    struct pacs_bytes *bytes, struct destination_result *ret,
    uint16_t *ret_status)
{
	struct dicom_command rsp = { .field = 0 };
	enum pacs_sending r = PACS_BROKEN;
	uint64_t sent = 0;
	uint16_t id;
	int e;

	e = send_request(c, &item->in, context, &id);
	if (e == 0)
		r = pacs_bytes_send(bytes, c->a, context, &sent, &e);
	ret->bytes += sent;
	if (r == PACS_SENT) {
		e = read_answer(c, id, &rsp);
		r = e < 0 ? PACS_BROKEN : PACS_SENT;
	}
	if (r == PACS_BROKEN)
		pacs_call_broke(c, e, sent > 0 ? "while it was sent an image"
		    : "when it was to be sent an image", ret);
	if (r != PACS_SENT)
		return r;
	*ret_status = rsp.status;
	judge_answer(c->p, item, &rsp);
	return PACS_SENT;
}

enum pacs_sending
pacs_store(struct pacs_call *c, struct destination_item *item,
    struct destination_result *ret, uint16_t *ret_status)
{
	AUTO(cleanup_pacs_bytes_close) struct pacs_bytes *bytes = NULL;
	const char *syntax;
	uint8_t context;
	char why[160];

	context = pacs_call_find(c, &item->in, &syntax, why, sizeof(why));
	if (context == 0) {
		pacs_settle(item, DESTINATION_REFUSED, "%s", why);
		return PACS_NOT_SENT;
	}
	bytes = pacs_bytes_open(c->p, item, syntax);
	if (bytes == NULL)
		return PACS_NOT_SENT;
	return exchange(c, item, context, bytes, ret, ret_status);
}
