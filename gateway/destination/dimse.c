/* dimse.c - the kind `dimse`: a PACS that is sent to by C-STORE, plain or over TLS. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "gateway/base/clock.h"
#include "gateway/destination/dimse_int.h"
#include "gateway/destination/kinds_int.h"

static void
close_pacs(void *self)
{
	struct pacs *p = self;

	assoc_tls_unref(p->tls);
	if (p->cancel_fd >= 0)
		(void)close(p->cancel_fd);
	free(p);
}

static int
open_tls(struct pacs *p, const struct pacs_tls *tls, struct buf *why)
{
	const struct assoc_tls_client_options opt = { .ca_file = tls->ca_file,
		.certificate_file = tls->certificate_file,
		.key_file = tls->key_file,
		.key_passphrase_file = tls->key_passphrase_file,
		.profile = tls->profile == CONFIG_TLS_LEGACY_AES
		    ? ASSOC_TLS_LEGACY_AES : ASSOC_TLS_BCP195 };

	if (tls->profile == CONFIG_TLS_LEGACY_AES)
		(void)buf_printf(why, "TLS accepts outdated ciphers: profile is "
		    "legacy_aes; set bcp195 once the PACS can");
	return assoc_tls_new_client(&opt, &p->tls, why);
}

static int
open_pacs(const struct destination_context *ctx,
    struct destination_limits *ret_limits, void **ret, struct buf *why)
{
	const struct pacs_options *o = ctx->cfg->choice.options;
	struct pacs *p = xcalloc(1, sizeof(*p));
	int e = 0;

	p->name = ctx->cfg->name;
	p->spool = ctx->spool;
	p->rate = ctx->rate;
	p->o = o;
	p->opened_ms = clock_wall_ms();
	p->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->cancel_fd < 0)
		e = -errno;
	if (e == 0 && o->tls != NULL)
		e = open_tls(p, o->tls, why);
	if (e < 0) {
		close_pacs(p);
		return e;
	}
	*ret_limits = (struct destination_limits){
		.connections = (unsigned)o->connections,
		.request_bytes = o->max_request,
		.request_instances = PACS_INSTANCES,
	};
	*ret = p;
	return 0;
}

static void
cancel_pacs(void *self)
{
	struct pacs *p = self;

	atomic_store(&p->canceled, true);
	(void)eventfd_write(p->cancel_fd, 1);
}

/* ---- probing ----------------------------------------------------------------- */

static void
echo(struct pacs_call *c, uint8_t context, struct destination_result *ret)
{
	struct dicom_command rq = { .field = DICOM_C_ECHO_RQ,
		.message_id = pacs_call_next_id(c),
		.dataset_type = DICOM_DATASET_NONE,
		.sop_class = DICOM_UID_VERIFICATION }, rsp;
	int r;

	r = assoc_send_message(c->a, context, &rq, NULL, 0);
	if (r == 0)
		r = assoc_read_command(c->a, true, &rsp, &context);
	if (r == 1)
		r = -ECONNABORTED;
	if (r == 0 && rsp.field == DICOM_C_ECHO_RSP && rsp.status == 0)
		return;
	ret->health = r == -ECANCELED ? DESTINATION_CANCELED : DESTINATION_DOWN;
	if (r < 0)
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s does not "
		    "answer C-ECHO: %s", c->p->o->ae_title, assoc_reason(c->a));
	else
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s answers "
		    "C-ECHO with %04XH", c->p->o->ae_title, rsp.status);
}

/* Who accepts the association but not the echo is there all the same. */
static void
probe_pacs(void *self, struct destination_result *ret)
{
	struct pacs *p = self;
	AUTO_FREE struct pacs_call *c = xcalloc(1, sizeof(*c));
	unsigned verification;

	pacs_call_init(c, p, p->o->commitment == PACS_COMMIT_REQUIRED);
	verification = c->n;
	(void)pacs_call_add_class(c, DICOM_UID_VERIFICATION);
	if (pacs_call_open(c, ret) < 0)
		return;
	if (c->commits && pacs_call_commits(c, NULL) == 0) {
		ret->health = DESTINATION_DOWN;
		(void)snprintf(ret->reason, sizeof(ret->reason), "%s does not offer "
		    "storage commitment, which `commitment: required` wants",
		    p->o->ae_title);
	} else if (assoc_answers(c->a)[verification].result == ASSOC_ACCEPTED) {
		echo(c, assoc_context_id(verification), ret);
	}
	pacs_call_end(c);
}

/* The PACS calls us to report, by the title that it knows us by. */
static void
check_title(const void *self, const struct config *cfg, struct buf *why)
{
	const struct pacs_options *o = ((const struct pacs *)self)->o;

	if (o->commitment == PACS_COMMIT_NEVER ||
	    cfg->gateway->called == CONFIG_CALLED_ANY)
		return;
	for (size_t i = 0; i < cfg->gateway->ae_titles.n; i++) {
		if (strcmp(cfg->gateway->ae_titles.v[i], o->calling) == 0)
			return;
	}
	(void)buf_printf(why, "calling_ae_title: %s is none of gateway.ae_titles, so "
	    "%s cannot report storage commitment to it: add it there, or write "
	    "`commitment: never`", o->calling, o->ae_title);
}

/* ---- options ----------------------------------------------------------------- */

static void
check_tls(struct config_check *c, const void *section)
{
	const struct pacs_tls *tls = section;

	if (tls->key_file != NULL && tls->certificate_file == NULL)
		config_problem(c, tls->line, "key_file", "has no effect without "
		    "`certificate_file`; write both or none");
	if (tls->certificate_file != NULL && tls->key_file == NULL)
		config_problem(c, tls->line, "certificate_file", "wants its key in "
		    "`key_file`");
	if (tls->verify_name != NULL && strcmp(tls->verify_name, "*") == 0 &&
	    tls->ca_file == NULL)
		config_problem(c, tls->line, "verify_name", "`*` wants a `ca_file`: "
		    "anybody has a certificate that the system's store trusts");
}

static bool
is_host(const char *host)
{
	size_t n = strlen(host);

	return n > 0 && n < 254 && strspn(host, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") == n;
}

static void
check_pacs(struct config_check *c, const void *section)
{
	const struct pacs_options *o = section;

	if (!is_host(o->host))
		config_problem(c, o->line, "host", "found `%.64s`; wanted a name or "
		    "an address, such as pacs.local or 10.1.9.20", o->host);
	for (size_t i = 0; i < o->transfer_syntaxes.n; i++)
		if (!dicom_uid_ok(o->transfer_syntaxes.v[i]))
			config_problem(c, o->line, "transfer_syntaxes", "found "
			    "`%.64s`; wanted the UID of a transfer syntax, such "
			    "as 1.2.840.10008.1.2.1", o->transfer_syntaxes.v[i]);
}

static const char *const profiles[] = {
	[CONFIG_TLS_BCP195] = "bcp195", [CONFIG_TLS_LEGACY_AES] = "legacy_aes", NULL,
};
static const char *const conflicts[] = { "refuse", "replace", NULL };
static const char *const commitments[] = {
	[PACS_COMMIT_AUTO] = "auto", [PACS_COMMIT_REQUIRED] = "required",
	[PACS_COMMIT_NEVER] = "never", NULL,
};

#define AT(type, field) .offset = offsetof(struct type, field)

static const struct config_option tls_table[] = {
	{ .name = "ca_file", .type = CONFIG_FILE, AT(pacs_tls, ca_file),
	    .help = "who may sign the PACS's certificate, or that itself, PEM; left "
		    "out: the system's store" },
	{ .name = "verify_name", .type = CONFIG_STRING, AT(pacs_tls, verify_name),
	    .help = "the name that its certificate bears, if it is not `host`; "
		    "`*`: any, `ca_file` decides" },
	{ .name = "certificate_file", .type = CONFIG_FILE,
	    AT(pacs_tls, certificate_file),
	    .help = "our certificate and those that signed it, PEM, if the PACS "
		    "asks for one" },
	{ .name = "key_file", .type = CONFIG_FILE, AT(pacs_tls, key_file),
	    .help = "the key of our certificate, PEM" },
	{ .name = "key_passphrase_file", .type = CONFIG_FILE,
	    AT(pacs_tls, key_passphrase_file),
	    .help = "first line: the passphrase of an encrypted key" },
	{ .name = "profile", .type = CONFIG_ENUM, .fallback = "bcp195",
	    .choices = profiles, AT(pacs_tls, profile),
	    .help = "`legacy_aes` admits RSA key exchange and CBC for old systems" },
	{ .name = NULL },
};

static const struct config_section tls_section = {
	"tls", sizeof(struct pacs_tls), tls_table, check_tls,
};

#define SECOND 1000ull
#define HOUR   (3600 * SECOND)

static const struct config_option table[] = {
	{ .name = "host", .type = CONFIG_STRING, .required = true,
	    AT(pacs_options, host),
	    .help = "the PACS: a name or an address, IPv4 or IPv6" },
	{ .name = "port", .type = CONFIG_UINT, .fallback = "104", .min = 1,
	    .max = 65535, AT(pacs_options, port), .help = "its DICOM port" },
	{ .name = "ae_title", .type = CONFIG_TITLE, .required = true,
	    AT(pacs_options, ae_title), .help = "the title that it is called by" },
	{ .name = "calling_ae_title", .type = CONFIG_TITLE, .fallback = "CAUSEWAY",
	    AT(pacs_options, calling),
	    .help = "our title, as it is entered there" },
	{ .name = "tls", .type = CONFIG_SECTION, .section = &tls_section,
	    AT(pacs_options, tls), .help = "left out: plain DICOM" },
	{ .name = "transfer_syntaxes", .type = CONFIG_STRINGS,
	    AT(pacs_options, transfer_syntaxes),
	    .help = "UIDs of the only ones that are proposed, preferred first; left "
		    "out: each image's own, and little endian for uncompressed "
		    "ones" },
	{ .name = "commitment", .type = CONFIG_ENUM, .fallback = "auto",
	    .choices = commitments, AT(pacs_options, commitment),
	    .help = "storage commitment before an image counts as delivered: `auto` "
		    "where the PACS offers it; it reports to `calling_ae_title`, "
		    "which must be entered there with our listening port" },
	{ .name = "commitment_wait", .type = CONFIG_DURATION, .fallback = "10s",
	    .max = HOUR, AT(pacs_options, commitment_wait_ms),
	    .help = "how long its report is waited for on the association that "
		    "asked" },
	{ .name = "commitment_within", .type = CONFIG_DURATION, .fallback = "24h",
	    .min = SECOND, .max = 30 * 24 * HOUR,
	    AT(pacs_options, commitment_within_ms),
	    .help = "without a report it is asked again" },
	{ .name = "on_conflict", .type = CONFIG_ENUM, .choices = conflicts,
	    .fallback = "refuse", AT(pacs_options, on_conflict),
	    .help = "other bytes under a UID that was sent before: a PACS cannot be "
		    "asked which it keeps, so they are refused; `replace` sends "
		    "them and takes its Success for it" },
	{ .name = "connections", .type = CONFIG_UINT, .min = 1, .max = 32,
	    .fallback = "2", AT(pacs_options, connections),
	    .help = "associations at once" },
	{ .name = "max_request", .type = CONFIG_SIZE, .min = 1u << 20,
	    .fallback = "1GiB", AT(pacs_options, max_request),
	    .help = "bytes of one association; larger objects go alone" },
	{ .name = "max_pdu", .type = CONFIG_UINT, .fallback = "131072",
	    .min = 4096, .max = 131072, AT(pacs_options, max_pdu),
	    .help = "bytes of a PDU that we offer to receive" },
	{ .name = "connect_timeout", .type = CONFIG_DURATION, .fallback = "20s",
	    .min = 100, .max = HOUR, AT(pacs_options, connect_timeout_ms),
	    .help = "for its name and the connection" },
	{ .name = "message_timeout", .type = CONFIG_DURATION, .fallback = "2min",
	    .min = 100, .max = HOUR, AT(pacs_options, message_timeout_ms),
	    .help = "how long it may take to read on, or to answer" },
	{ .name = NULL },
};

const struct destination_kind destination_dimse = {
	.config = {
		.name = "dimse",
		.section = {
			.name = "destinations[]",
			.size = sizeof(struct pacs_options),
			.options = table,
			.check = check_pacs,
		},
	},
	.open = open_pacs,
	.close = close_pacs,
	.check = check_title,
	.deliver = pacs_deliver,
	.probe = probe_pacs,
	.cancel = cancel_pacs,
	.verify = pacs_verify,
	.blind = true,
	.tend = pacs_tend,
	.describe = pacs_describe,
};
