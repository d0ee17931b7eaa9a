/* deliver.c - instances to a DICOMweb server, each with a verdict of its own.
 *
 * Plain instances share one request; what its answer leaves open is read back.
 * Later versions, re-sends to be checked and interrupted replacements are asked
 * for first and go alone (rules 2 to 4), because servers keep the old bytes of a
 * second version and call that success.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/stow_int.h"

#define ACCEPT "application/dicom+json"

/* One request and what it leaves open. */
struct sending {
	struct stow		  *stow;
	struct destination_result *ret;
	struct destination_item	 **items;	/* that went */
	bool			  *open;	/* to be read back; of items */
	bool			  *vague;	/* failed, if it is not there; of items */
	bool			   disputed;	/* it did not claim to hold them */
	size_t			   n;
};

void
stow_settle(struct destination_item *item, enum destination_verdict v,
    const char *fmt, ...)
{
	va_list ap;

	item->verdict = v;
	item->retry_soon = false;
	item->quote_at = 0;
	va_start(ap, fmt);
	(void)vsnprintf(item->reason, sizeof(item->reason), fmt, ap);
	va_end(ap);
}

static void
set_health(struct destination_result *ret, enum destination_health health,
    const struct http_reply *r)
{
	ret->health = health;
	http_explain(r, ret->reason, sizeof(ret->reason));
}

static enum destination_health
health_of_status(int status)
{
	switch (status) {
	case 413:
		return DESTINATION_TOO_LARGE;
	case 429:
	case 503:
	case 507:
		return DESTINATION_BUSY;
	case 401:
	case 402:
	case 403:
	case 404:
	case 405:
	case 407:
	case 410:
	case 426:
	case 511:
		return DESTINATION_DOWN;
	default:
		return status >= 300 && status < 400 ? DESTINATION_DOWN :
		    DESTINATION_FAILED;
	}
}

void
stow_health(const struct http_reply *r, struct destination_result *ret)
{
	switch (r->outcome) {
	case HTTP_ANSWERED:
		set_health(ret, health_of_status(r->status), r);
		if (ret->health == DESTINATION_BUSY)
			ret->retry_after_ms = r->retry_after_ms > STOW_RETRY_AFTER ?
			    STOW_RETRY_AFTER : r->retry_after_ms;
		break;
	case HTTP_PROXY:
		ret->proxy = true;
		set_health(ret, DESTINATION_DOWN, r);
		break;
	case HTTP_UNREACHABLE:
	case HTTP_TLS:
	case HTTP_CREDENTIAL:
		set_health(ret, DESTINATION_DOWN, r);
		break;
	case HTTP_STALLED:
	case HTTP_BROKEN:
		/* Not a byte was taken: it cannot be the instances' fault. */
		set_health(ret, r->sent_bytes > 0 || r->status != 0 ?
		    DESTINATION_FAILED : DESTINATION_DOWN, r);
		break;
	case HTTP_LOCAL:
		break;	/* the body named the instance */
	case HTTP_CANCELED:
		set_health(ret, DESTINATION_CANCELED, r);
		break;
	}
}

/* ---- judging one answer -------------------------------------------------- */

static void
settle_coded(struct destination_item *item, enum destination_verdict v,
    const char *what, const struct stow_answer *a)
{
	stow_settle(item, v, "%s: %s (%04XH)", what, stow_words(a->code), a->code);
	destination_quote(item, a->comment);
}

static void
settle_said(struct sending *q, size_t i, const struct stow_answer *a)
{
	struct destination_item *item = q->items[i];

	switch (a->said) {
	case STOW_STORED:
		stow_settle(item, DESTINATION_OK, "%s", "");
		break;
	case STOW_WARNING:
		settle_coded(item, DESTINATION_WARNED, "stored with a warning", a);
		break;
	case STOW_EXISTS:
		q->open[i] = q->disputed = true;
		break;
	case STOW_LATER:
		settle_coded(item, DESTINATION_RETRY, "the cloud failed on it", a);
		item->retry_soon = true;
		q->open[i] = q->vague[i] = q->stow->flavor->vague;
		break;
	case STOW_REFUSED:
		settle_coded(item, DESTINATION_REFUSED, "the cloud refused it", a);
		q->open[i] = q->vague[i] = q->stow->flavor->vague;
		break;
	case STOW_SILENT:
		break;
	}
}

/* Nothing is said of this one. `named`: but of others. */
static void
settle_silence(struct sending *q, size_t i, const struct http_reply *r, bool named)
{
	struct destination_item *item = q->items[i];

	if (named && (r->status == 202 || r->status == 206)) {
		stow_settle(item, DESTINATION_RETRY, "the cloud's answer does not "
		    "mention it");
	} else if (r->status < 300) {
		q->open[i] = true;
	} else if (r->status == 409 && q->n == 1) {
		q->open[i] = q->disputed = true;
	} else {
		set_health(q->ret, DESTINATION_FAILED, r);
		if (q->n == 1)
			stow_settle(item, DESTINATION_RETRY, "the cloud does not "
			    "take it and does not say why (status %d)", r->status);
	}
}

/* A part failed and the answer does not say which: smaller requests will. */
static void
settle_unnamed(struct sending *q, size_t i, unsigned code)
{
	if (q->n == 1) {
		settle_said(q, i, &(struct stow_answer){ .code = code,
		    .said = stow_failure(code) });
		return;
	}
	stow_settle(q->items[i], DESTINATION_RETRY, "the cloud failed on an "
	    "instance that it does not name");
	q->ret->health = DESTINATION_FAILED;
	(void)snprintf(q->ret->reason, sizeof(q->ret->reason), "it failed on an "
	    "instance that it does not name: %s (%04XH)", stow_words(code), code);
}

/* Its comment is for people to read. */
static void
settle_quoting(struct sending *q, size_t i, const struct stow_answer *a,
    const struct http_reply *r)
{
	struct stow_answer said = *a;

	http_reply_redact(r, said.comment);
	settle_said(q, i, &said);
}

static void
settle_answers(struct sending *q, const struct http_reply *r)
{
	AUTO(stow_answers_free) struct stow_answers answers = { 0 };

	/* Without a body that can be read all are silent. */
	if (r->body.len > 0)
		(void)stow_reply_read(r->content_type, r->body.data, r->body.len,
		    &answers);
	for (size_t i = 0; i < q->n; i++) {
		const struct stow_answer *a = stow_answers_find(&answers,
		    q->items[i]->in.sop_instance);

		if (a != NULL)
			settle_quoting(q, i, a, r);
		else if (answers.others > 0)
			settle_unnamed(q, i, answers.other_code);
		else
			settle_silence(q, i, r, answers.n > 0);
	}
}

static bool
body_decides(const struct http_reply *r)
{
	if (r->outcome != HTTP_ANSWERED)
		return false;
	return (r->status >= 200 && r->status < 300) || r->status == 400 ||
	    r->status == 409 || r->status == 415 || r->status == 422;
}

/* ---- one request --------------------------------------------------------- */

static void
free_sending(struct sending *q)
{
	free(q->items);
	free(q->open);
	free(q->vague);
}

static void
take_parts(struct sending *q, const struct stow_body *body)
{
	const struct stow_part *parts;

	q->n = stow_body_parts(body, &parts);
	q->items = xcalloc(q->n, sizeof(struct destination_item *));
	q->open = xcalloc(q->n, sizeof(*q->open));
	q->vague = xcalloc(q->n, sizeof(*q->vague));
	for (size_t i = 0; i < q->n; i++)
		q->items[i] = parts[i].item;
}

/* Rule 33: only what is stat as a whole overtakes. */
static bool
all_stat(struct destination_item *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i]->in.priority != SPOOL_STAT)
			return false;
	}
	return true;
}

static void
send_items(struct sending *q, const char *method, struct destination_item **items,
    size_t n)
{
	AUTO(cleanup_stow_body_free) struct stow_body *body =
	    stow_body_new(q->stow, items, n);
	AUTO(http_reply_free) struct http_reply reply = { 0 };
	char sha256[65];
	struct http_request req = {
		.method = method,
		.path = "/studies",
		.accept = ACCEPT,
		.content_type = stow_body_type(body),
		.body_length = stow_body_length(body),
		.body = stow_body_give,
		.body_arg = body,
		.body_rewind = stow_body_rewind,
		.urgent = all_stat(items, n),
		.reply_max = STOW_REPLY_MAX,
		.deadline_ms = CLOCK_NEVER,
	};

	take_parts(q, body);
	if (q->n == 0)
		return;
	if (q->stow->signed_body) {
		if (stow_body_sha256(body, sha256) < 0)
			return;		/* the body named the instance */
		req.sha256 = sha256;
	}
	(void)http_call(q->stow->http, &req, &reply);
	q->ret->bytes += reply.sent_bytes;
	if (body_decides(&reply))
		settle_answers(q, &reply);
	else
		stow_health(&reply, q->ret);
}

/* ---- reading back -------------------------------------------------------- */

/* Where there are several versions its presence proves nothing. */
void
stow_settle_transcoded(struct destination_item *item)
{
	if (item->in.version == 1 && !item->in.later)
		stow_settle(item, DESTINATION_OK, "%s", "");
	else
		stow_settle(item, DESTINATION_RETRY, "the cloud keeps it in another "
		    "form, which does not tell the versions apart");
}

/* After a request left it open what became of this one. */
static void
settle_by_reading(struct sending *q, size_t i)
{
	struct destination_item *item = q->items[i];

	switch (stow_read_back(q->stow, item, q->ret)) {
	case STOW_EQUAL:
		stow_settle(item, DESTINATION_OK, "%s", "");
		break;
	case STOW_DIFFERENT:
		stow_resolve(q->stow, item, q->ret);
		break;
	case STOW_ABSENT:
		if (q->vague[i])
			break;		/* as it was said */
		stow_settle(item, DESTINATION_RETRY, q->disputed ?
			"the cloud says that it has it, and does not show it" :
			"the cloud reports success, and does not show it");
		item->retry_soon = !q->disputed;
		if (q->disputed) {
			q->ret->health = DESTINATION_FAILED;
			(void)snprintf(q->ret->reason, sizeof(q->ret->reason),
			    "it refuses an instance without saying why");
		}
		break;
	case STOW_TRANSCODED:
		stow_settle_transcoded(item);
		break;
	case STOW_DAMAGED:
	case STOW_UNKNOWN:
		break;
	}
}

void
stow_send(struct stow *s, struct destination_item **items, size_t n,
    struct destination_result *ret)
{
	AUTO(free_sending) struct sending q = { .stow = s, .ret = ret };

	send_items(&q, "POST", items, n);
	for (size_t i = 0; i < q.n; i++) {
		/* Whatever failed for some, an open one is worth a look, unless
		 * nobody answers. */
		if (q.open[i] && (ret->health == DESTINATION_UP ||
			ret->health == DESTINATION_FAILED))
			settle_by_reading(&q, i);
	}
}

bool
stow_send_one(struct stow *s, struct destination_item *item, const char *method,
    struct destination_result *ret)
{
	AUTO(free_sending) struct sending q = { .stow = s, .ret = ret };

	send_items(&q, method, &item, 1);
	return q.n == 1 && ret->health == DESTINATION_UP && (q.open[0] ||
	    item->verdict == DESTINATION_OK || item->verdict ==
	    DESTINATION_WARNED);
}

/* ---- one at a time ------------------------------------------------------- */

static bool
needs_care(const struct spool_instance *in)
{
	return in->version > 1 || in->check || in->replacing;
}

/* A later version: success is what can be read back. */
static void
settle_version(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	bool warned = item->verdict == DESTINATION_WARNED;

	/* Until it was read back it is not delivered. */
	item->verdict = DESTINATION_RETRY;
	switch (stow_read_back(s, item, ret)) {
	case STOW_EQUAL:
		if (warned)
			item->verdict = DESTINATION_WARNED;
		else
			stow_settle(item, DESTINATION_OK, "%s", "");
		break;
	case STOW_ABSENT:
		stow_settle(item, DESTINATION_RETRY, "the cloud reports success, and "
		    "does not show it");
		item->retry_soon = true;
		break;
	case STOW_DIFFERENT:
		stow_resolve(s, item, ret);
		break;
	case STOW_TRANSCODED:
		stow_settle_transcoded(item);
		break;
	case STOW_DAMAGED:
	case STOW_UNKNOWN:
		break;
	}
}

static void
send_absent(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	if (item->in.version == 1 && !item->in.replacing)
		stow_send(s, &item, 1, ret);
	else if (stow_send_one(s, item, "POST", ret))
		settle_version(s, item, ret);
}

static void
deliver_with_care(struct stow *s, struct destination_item *item,
    struct destination_result *ret)
{
	switch (stow_read_back(s, item, ret)) {
	case STOW_EQUAL:
		stow_settle(item, DESTINATION_OK, "%s", "");
		break;
	case STOW_ABSENT:
		send_absent(s, item, ret);
		break;
	case STOW_DIFFERENT:
		stow_resolve(s, item, ret);
		break;
	case STOW_TRANSCODED:
		stow_settle_transcoded(item);
		break;
	case STOW_DAMAGED:
	case STOW_UNKNOWN:
		break;
	}
}

static int
compare_uids(const void *a, const void *b)
{
	const struct destination_item *const *x = a, *const *y = b;

	return strcmp((*x)->in.sop_instance, (*y)->in.sop_instance);
}

/* Rule 3: never two versions of one UID in one request. */
static void
assert_unique(struct destination_item **items, size_t n)
{
	qsort(items, n, sizeof(struct destination_item *), compare_uids);
	for (size_t i = 1; i < n; i++)
		assert(compare_uids(&items[i - 1], &items[i]) != 0);
}

void
stow_deliver(void *self, struct destination_item *items, size_t n,
    struct destination_result *ret)
{
	AUTO_FREE struct destination_item **plain = xcalloc(n,
	    sizeof(struct destination_item *));
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		plain[i] = &items[i];
	assert_unique(plain, n);
	for (size_t i = 0; i < n; i++) {
		if (!needs_care(&items[i].in))
			plain[m++] = &items[i];
	}
	if (m > 0)
		stow_send(self, plain, m, ret);
	for (size_t i = 0; i < n && ret->health == DESTINATION_UP; i++) {
		if (needs_care(&items[i].in))
			deliver_with_care(self, &items[i], ret);
	}
}
