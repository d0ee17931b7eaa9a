/* dimse_call.c - one association with a PACS: what is proposed, what was accepted, and
 * what it means when there is none.
 *
 * An instance's own transfer syntax stands alone in a context, so that it is accepted
 * or not; where its bytes may be re-encoded (rules 12 and 23) a second context of its
 * SOP class offers both little endian ones. The original goes wherever it is taken.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/destination/dimse_int.h"

#define HANDSHAKE_MS 30000
#define BUSY_MS	     30000	/* after "not now" */

static const char *const explicit_and_implicit[] = { DICOM_UID_EXPLICIT_LE,
	DICOM_UID_IMPLICIT_LE };

/* ---- what is proposed -------------------------------------------------------- */

static bool
may_propose(const struct pacs *p, const char *syntax)
{
	const struct config_strings *only = &p->o->transfer_syntaxes;

	for (size_t i = 0; i < only->n; i++)
		if (strcmp(only->v[i], syntax) == 0)
			return true;
	return only->n == 0;
}

/* In the site's order, or explicit before implicit. */
static void
choose_native(struct pacs_call *c)
{
	const struct config_strings *only = &c->p->o->transfer_syntaxes;
	const char *const *from = explicit_and_implicit;
	size_t n = ARRAY_LEN(explicit_and_implicit);

	if (only->n > 0) {
		from = (const char *const *)only->v;
		n = only->n;
	}
	for (size_t i = 0; i < n && c->n_native < 2; i++)
		if (strcmp(from[i], DICOM_UID_EXPLICIT_LE) == 0 ||
		    strcmp(from[i], DICOM_UID_IMPLICIT_LE) == 0)
			c->native[c->n_native++] = from[i];
}

static void
propose(struct pacs_call *c, const char *abstract_syntax,
    const char *const *syntaxes, unsigned n)
{
	c->proposal[c->n++] = (struct assoc_proposal){
		.abstract_syntax = abstract_syntax, .syntaxes = syntaxes,
		.n_syntaxes = n };
}

void
pacs_call_init(struct pacs_call *c, struct pacs *p, bool commits)
{
	memset(c, 0, sizeof(*c));
	c->p = p;
	choose_native(c);
	if (!commits || p->o->commitment == PACS_COMMIT_NEVER)
		return;
	c->commits = true;
	propose(c, DICOM_UID_COMMITMENT, explicit_and_implicit, 2);
}

bool
pacs_call_add_class(struct pacs_call *c, const char *abstract_syntax)
{
	if (c->n == ASSOC_CONTEXTS_MAX)
		return false;
	propose(c, abstract_syntax, explicit_and_implicit, 2);
	return true;
}

static int
find_original(const struct pacs_call *c, const struct spool_instance *in)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->original[i] != NULL &&
		    strcmp(c->original[i], in->syntax) == 0 &&
		    strcmp(c->proposal[i].abstract_syntax, in->sop_class) == 0)
			return (int)i;
	return -1;
}

static int
find_fallback(const struct pacs_call *c, const struct spool_instance *in)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->fallback[i] &&
		    strcmp(c->proposal[i].abstract_syntax, in->sop_class) == 0)
			return (int)i;
	return -1;
}

static bool
is_convertible(const struct pacs_call *c, const struct spool_instance *in)
{
	return c->n_native > 0 &&
	    dicom_syntax_convertible(dicom_syntax_find(in->syntax));
}

bool
pacs_call_may(const struct pacs_call *c, const struct spool_instance *in)
{
	return may_propose(c->p, in->syntax) || is_convertible(c, in);
}

bool
pacs_call_add(struct pacs_call *c, const struct spool_instance *in)
{
	bool original = may_propose(c->p, in->syntax) && find_original(c, in) < 0;
	bool fallback = is_convertible(c, in) && find_fallback(c, in) < 0;

	if (c->n + original + fallback > ASSOC_CONTEXTS_MAX)
		return false;
	if (original) {
		c->original[c->n] = in->syntax;
		propose(c, in->sop_class, &c->original[c->n], 1);
	}
	if (fallback) {
		c->fallback[c->n] = true;
		propose(c, in->sop_class, c->native, c->n_native);
	}
	return true;
}

/* ---- calling ----------------------------------------------------------------- */

static void
judge_failure(int e, const struct buf *why, struct destination_result *ret)
{
	ret->health = e == -ECANCELED ? DESTINATION_CANCELED
	    : e == -EAGAIN ? DESTINATION_BUSY : DESTINATION_DOWN;
	if (e == -EAGAIN)
		ret->retry_after_ms = BUSY_MS;
	if (e != -ECANCELED)
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s",
		    why->len > 0 ? why->data : strerror(-e));
}

/* What was negotiated (rule 37). */
static void
tell_contexts(const struct pacs_call *c)
{
	const struct assoc_request *peer = assoc_request(c->a);
	const struct assoc_answer *to = assoc_answers(c->a);

	log_debug("association opened", LOG_U64("assoc", assoc_id(c->a)),
	    LOG_STR("destination", c->p->name), LOG_STR("called", peer->called),
	    LOG_STR("address", peer->address),
	    LOG_STR("implementation", peer->implementation_version),
	    LOG_STR("tls", peer->tls_version), LOG_U64("peer_pdu", peer->max_pdu));
	for (unsigned i = 0; i < c->n; i++)
		log_debug("presentation context", LOG_U64("assoc", assoc_id(c->a)),
		    LOG_STR("class", c->proposal[i].abstract_syntax),
		    LOG_U64("result", to[i].result),
		    LOG_STR("syntax", to[i].syntax));
}

int
pacs_call_open(struct pacs_call *c, struct destination_result *ret)
{
	const struct pacs_options *o = c->p->o;
	struct buf why AUTO(buf_free) = BUF_INIT(1000);
	const struct assoc_call call = { .host = o->host,
		.port = (uint16_t)o->port, .calling = o->calling,
		.called = o->ae_title, .max_pdu = (uint32_t)o->max_pdu,
		.tls = c->p->tls,
		.tls_name = o->tls != NULL ? o->tls->verify_name : NULL,
		.connect_ms = (int64_t)o->connect_timeout_ms,
		.handshake_ms = HANDSHAKE_MS,
		.message_ms = (int64_t)o->message_timeout_ms,
		.cancel_fd = c->p->cancel_fd,
		.n_proposals = c->n, .proposals = c->proposal };
	int e;

	e = assoc_open(&call, &c->a, &why);
	if (e < 0)
		judge_failure(e, &why, ret);
	else
		tell_contexts(c);
	return e;
}

void
pacs_call_end(struct pacs_call *c)
{
	if (c->a == NULL)
		return;
	if (!atomic_load(&c->p->canceled))
		(void)assoc_request_release(c->a);
	assoc_close(TAKE_PTR(c->a));
}

/* ---- what was accepted --------------------------------------------------------- */

static const struct assoc_answer *
accepted(const struct pacs_call *c, int i)
{
	const struct assoc_answer *to;

	if (i < 0)
		return NULL;
	to = &assoc_answers(c->a)[i];
	return to->result == ASSOC_ACCEPTED ? to : NULL;
}

static void
explain_refusal(const struct pacs_call *c, int i, const struct spool_instance *in,
    char *why, size_t size)
{
	enum assoc_context_result r = i >= 0 ? assoc_answers(c->a)[i].result
	    : ASSOC_SYNTAXES_UNSUPPORTED;
	const char *class = dicom_uid_name(in->sop_class);

	if (r == ASSOC_SYNTAXES_UNSUPPORTED)
		(void)snprintf(why, size, "%s does not take %s in %s%s",
		    c->p->o->ae_title, class != NULL ? class : in->sop_class,
		    dicom_syntax_find(in->syntax)->name,
		    c->p->o->transfer_syntaxes.n > 0
		    ? " or what transfer_syntaxes allows" : "");
	else
		(void)snprintf(why, size, "%s does not take %s (%s)",
		    c->p->o->ae_title, class != NULL ? class : "this SOP class",
		    in->sop_class);
}

uint8_t
pacs_call_find(const struct pacs_call *c, const struct spool_instance *in,
    const char **ret_syntax, char *why, size_t why_size)
{
	int original = find_original(c, in), fallback = -1, i = original;
	const struct assoc_answer *to = accepted(c, i);

	if (to == NULL && is_convertible(c, in)) {
		i = fallback = find_fallback(c, in);
		to = accepted(c, i);
	}
	if (to == NULL) {
		explain_refusal(c, original >= 0 ? original : fallback, in, why,
		    why_size);
		return 0;
	}
	*ret_syntax = to->syntax;
	return assoc_context_id((unsigned)i);
}

uint8_t
pacs_call_commits(const struct pacs_call *c, const char **ret_syntax)
{
	const struct assoc_answer *to;

	if (!c->commits || c->a == NULL)
		return 0;
	to = accepted(c, 0);
	if (to == NULL)
		return 0;
	if (ret_syntax != NULL)
		*ret_syntax = to->syntax;
	return assoc_context_id(0);
}

/* A PACS that refuses all for no reason refuses us, not the images. */
bool
pacs_call_is_useless(const struct pacs_call *c)
{
	const struct assoc_answer *to = assoc_answers(c->a);

	for (unsigned i = c->commits; i < c->n; i++)
		if (to[i].result == ASSOC_ACCEPTED ||
		    to[i].result == ASSOC_ABSTRACT_UNSUPPORTED ||
		    to[i].result == ASSOC_SYNTAXES_UNSUPPORTED)
			return false;
	return true;
}

uint16_t
pacs_call_next_id(struct pacs_call *c)
{
	c->message_id = (uint16_t)(c->message_id % 65535 + 1);
	return c->message_id;
}

void
pacs_call_broke(const struct pacs_call *c, int error, const char *doing,
    struct destination_result *ret)
{
	if (error == -ECANCELED) {
		ret->health = DESTINATION_CANCELED;
		return;
	}
	ret->health = DESTINATION_FAILED;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s: %s %s",
	    c->p->o->ae_title, assoc_reason(c->a)[0] != '\0'
	    ? assoc_reason(c->a) : strerror(-error), doing);
}
