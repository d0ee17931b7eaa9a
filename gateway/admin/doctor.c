/* doctor.c - GET /v1/doctor: what stands between this gateway and its work, looked
 * at one by one: the disk, the clock, certificates, the configuration, and each
 * destination, which is asked; where a proxy stands before it, whose fault it is.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/destination/destination.h"
#include "gateway/http/http.h"

#define CERTIFICATE_DAYS 30
#define SYNCHRONIZED	 "/run/systemd/timesync/synchronized"

/* ---- findings ------------------------------------------------------------ */

enum finding { GOOD, NOTE, WARN, FAIL };
static const char *const finding_names[] = {
	[GOOD] = "ok", [NOTE] = "note", [WARN] = "warning", [FAIL] = "failed",
};

struct visit {
	json_t *list;
	enum finding worst;
};

static void
add(struct visit *v, const char *what, enum finding f, const char *text)
{
	(void)json_array_append_new(v->list, json_pack("{s:o, s:s, s:o}",
	    "what", admin_json_text(what), "result", finding_names[f],
	    "text", admin_json_text(text)));
	if (f > v->worst)
		v->worst = f;
}

/* ---- this machine -------------------------------------------------------- */

static void
look_at_spool(struct visit *v, struct spool *sp, const struct config *cfg)
{
	struct spool_stats s;
	char text[200];
	int r = spool_stats(sp, &s);

	if (r < 0) {
		add(v, "spool", FAIL, strerror(-r));
		return;
	}
	if (s.suspect)
		add(v, "spool", FAIL, "its disk failed: the daemon starts anew");
	else if (s.damaged > 0)
		add(v, "spool", WARN, "images were damaged on this disk; the log "
		    "names them: replace the disk, and have them sent again");
	else
		add(v, "spool", GOOD, cfg->spool->directory);
	(void)snprintf(text, sizeof(text), "%llu MiB of %llu MiB are free, "
	    "spool.reserve is %llu MiB", (unsigned long long)(s.disk_free >> 20),
	    (unsigned long long)(s.disk_size >> 20),
	    (unsigned long long)(cfg->spool->reserve >> 20));
	add(v, "disk space", s.space == SPOOL_SPACE_GOOD ? GOOD :
	    s.space == SPOOL_SPACE_LOW ? WARN : FAIL, text);
}

/* The kernel names a dm-crypt device by its UUID. Below LVM it is not looked for. */
static void
look_at_encryption(struct visit *v, const struct config *cfg)
{
	struct stat st;
	char path[96], uuid[16] = "";
	FILE *f;

	if (stat(cfg->spool->directory, &st) < 0)
		return;
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/dm/uuid",
	    major(st.st_dev), minor(st.st_dev));
	f = fopen(path, "re");
	if (f != NULL) {
		(void)!fgets(uuid, sizeof(uuid), f);
		(void)fclose(f);
	}
	if (strncmp(uuid, "CRYPT-", 6) == 0)
		add(v, "encryption", GOOD, "the spool's disk is encrypted");
	else
		add(v, "encryption", NOTE, "the spool's disk is not seen to be "
		    "encrypted (dm-crypt): whoever takes it away has the images");
}

static void
look_at_clock(struct visit *v)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);
	/* Where that call is not allowed systemd-timesyncd's mark tells, too. */
	bool synchronized = state < 0 ? access(SYNCHRONIZED, F_OK) == 0 :
	    state != TIME_ERROR && (t.status & STA_UNSYNC) == 0;
	char fault[400];

	if (http_clock_fault(fault, sizeof(fault)))
		add(v, "clock", FAIL, fault);
	else if (synchronized)
		add(v, "clock", GOOD, "synchronised");
	else
		add(v, "clock", WARN, "it is not seen to be synchronised: clouds "
		    "refuse signatures of a wrong clock; let systemd-timesyncd or "
		    "chrony run");
}

/* ---- certificates -------------------------------------------------------- */

static void
look_at_certificate(struct visit *v, const char *what, const char *path)
{
	FILE *f = fopen(path, "re");
	X509 *x = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	int days = 0, seconds = 0;
	char text[PATH_MAX + 80];

	if (f != NULL)
		(void)fclose(f);
	if (x == NULL) {
		(void)snprintf(text, sizeof(text), "%s: it cannot be read", path);
		add(v, what, FAIL, text);
		return;
	}
	(void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x));
	X509_free(x);
	(void)snprintf(text, sizeof(text), "%s: it %s %d days", path,
	    days < 0 ? "ended before" : "is good for", days < 0 ? -days : days);
	add(v, what, days < 0 ? FAIL : days < CERTIFICATE_DAYS ? WARN : GOOD, text);
}

static void
look_at_listeners(struct visit *v, const struct config *cfg)
{
	for (size_t i = 0; i < cfg->gateway->listen.n; i++) {
		const struct config_listen *l = cfg->gateway->listen.v[i];
		char what[64];

		(void)snprintf(what, sizeof(what), "certificate of port %llu",
		    (unsigned long long)l->port);
		if (l->tls != NULL)
			look_at_certificate(v, what, l->tls->certificate_file);
	}
}

/* ---- the configuration, the destinations --------------------------------- */

static void
add_config_warning(void *arg, const char *text)
{
	add(arg, "configuration", WARN, text);
}

/* What the uploader met: a probe stores nothing, so it does not see all of it. */
struct met { const char *name; char *text; };

static int
copy_met(void *arg, const struct upload_destination *d)
{
	struct met *m = arg;
	const char *reason = d->state != UPLOAD_DOWN ? "" : d->reason;

	if (strcmp(d->name, m->name) != 0 || m->text != NULL ||
	    (reason[0] == '\0' && d->alarm[0] == '\0'))
		return 0;
	m->text = xasprintf("it answers, but %s%s%s", reason,
	    reason[0] != '\0' && d->alarm[0] != '\0' ? "; " : "", d->alarm);
	return 0;
}

static void
judge_answering(struct visit *v, struct upload *up, const char *name,
    const char *what, const char *words)
{
	struct met m = { .name = name };

	(void)upload_destinations(up, copy_met, &m);
	if (m.text != NULL)
		add(v, what, FAIL, m.text);
	else
		add(v, what, GOOD, words[0] != '\0' ? words :
		    "it answers and lets us in");
	free(m.text);
}

static void
look_at_destination(struct visit *v, struct upload *up, const char *name)
{
	struct destination *d = upload_borrow(up, name);
	struct destination_result r;
	char what[64], text[500];

	if (d == NULL)
		return;
	destination_probe(d, &r);
	upload_return(up, d);
	(void)snprintf(what, sizeof(what), "destination %s", name);
	if (r.health == DESTINATION_UP)
		judge_answering(v, up, name, what, r.reason);
	else if (r.health == DESTINATION_BUSY)
		add(v, what, WARN, r.reason);
	else {
		(void)snprintf(text, sizeof(text), "%s%s", r.proxy ?
		    "the proxy is the trouble, the cloud was not reached: " : "",
		    r.reason);
		add(v, what, FAIL, text);
	}
}

static json_t *
run_doctor(struct admin_errand *e, void *arg, int *ret_status)
{
	const struct admin_options *opt = admin_errand_options(e);
	const struct config *cfg = opt->config(opt->arg);
	struct visit v = { .list = json_array() };

	(void)arg;
	(void)ret_status;
	look_at_spool(&v, opt->spool, cfg);
	look_at_encryption(&v, cfg);
	look_at_clock(&v);
	look_at_listeners(&v, cfg);
	admin_config_warnings(cfg, add_config_warning, &v);
	for (size_t i = 0; i < cfg->destinations.n && !admin_errand_gone(e); i++) {
		const struct config_destination *d = cfg->destinations.v[i];

		look_at_destination(&v, opt->upload, d->name);
	}
	config_unref(cfg);
	return json_pack("{s:b, s:o}", "well", v.worst < FAIL, "findings", v.list);
}

void
admin_get_doctor(struct admin_call *c)
{
	admin_errand_run(c, run_doctor, NULL, NULL);
}
