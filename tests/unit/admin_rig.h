/* admin_rig.h - the control socket for a test: stand-ins for everything behind
 * it, and a client. Include it once.
 */
#ifndef CW_TESTS_ADMIN_RIG_H
#define CW_TESTS_ADMIN_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <jansson.h>

#include "gateway/admin/admin.h"
#include "gateway/base/cleanup.h"
#include "gateway/destination/destination.h"
#include "gateway/dicom/part10.h"
#include "gateway/study/study.h"

/* What the stand-ins show and saw. */
static struct rig {
	char	dir[64], socket[96];
	const struct config *cfg;
	struct admin *admin;

	struct spool_study study[5];	/* the newest first */
	size_t	n_studies;
	struct spool_filter filter;	/* of the last listing */

	uint64_t length;		/* of instance 1 */
	bool	damaged, set_aside;
	int	readers;		/* open */

	struct spool_command command;
	char	actor[64], reason[64], destination[64];
	unsigned commands;
	int	command_result;
	unsigned nudges;

	int	reload_result;
	struct dimse_caller caller[2];
	size_t	n_callers;
} rig;

/* ---- the spool ---------------------------------------------------------- */

int
spool_studies(struct spool *sp, const struct spool_filter *f, spool_study_fn *fn,
    void *arg)
{
	size_t n = 0;

	(void)sp;
	rig.filter = *f;
	for (size_t i = 0; i < rig.n_studies; i++) {
		const struct spool_study *s = &rig.study[i];
		int r;

		if ((f->uid != NULL && strcmp(f->uid, s->uid) != 0) ||
		    (f->accession != NULL &&
		    strcmp(f->accession, s->accession) != 0) ||
		    (f->before_id != 0 && s->id >= f->before_id) ||
		    (f->limit != 0 && n == f->limit))
			continue;
		n++;
		r = fn(arg, s);
		if (r != 0)
			return r;
	}
	return 0;
}

int
spool_study_by_id(struct spool *sp, uint64_t id, spool_study_fn *fn, void *arg)
{
	(void)sp;
	for (size_t i = 0; i < rig.n_studies; i++)
		if (rig.study[i].id == id)
			return fn(arg, &rig.study[i]);
	return -ENOENT;
}

static void
fill_instance(uint64_t id, struct spool_instance *ret)
{
	*ret = (struct spool_instance){ .id = id, .study = 1, .version = 1,
		.sop_class = "1.2.840.10008.5.1.4.1.1.2", .study_uid = "1.2.1",
		.series_uid = "1.2.1.1", .syntax = "1.2.840.10008.1.2.1",
		.modality = "CT", .length = rig.length, .kept = true };
	(void)snprintf(ret->sop_instance, sizeof(ret->sop_instance), "1.2.1.1.%llu",
	    (unsigned long long)id);
}

int
spool_instances(struct spool *sp, uint64_t study, uint64_t after,
    spool_instance_fn *fn, void *arg)
{
	(void)sp;
	for (uint64_t id = after + 1; study == 1 && id <= 5; id++) {
		struct spool_instance in;
		int r;

		fill_instance(id, &in);
		r = fn(arg, &in);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return 0;
}

int
spool_instance_get(struct spool *sp, uint64_t id, struct spool_instance *ret)
{
	(void)sp;
	if (id != 1)
		return -ENOENT;
	fill_instance(id, ret);
	return 0;
}

int
spool_deliveries(struct spool *sp, uint64_t instance, spool_delivery_fn *fn,
    void *arg)
{
	const struct spool_delivery_row row = { .destination = "cloud",
		.state = SPOOL_REFUSED, .since_ms = 1, .actor = "", .remote = "",
		.reason = "the cloud holds other bytes under this UID" };

	(void)sp;
	return instance == 1 ? fn(arg, &row) : 0;
}

int
spool_study_progress(struct spool *sp, uint64_t study, spool_progress_fn *fn,
    void *arg)
{
	const struct spool_progress p = { .destination = "cloud", .owed = 3,
		.delivered = 4, .last_reason = "" };

	(void)sp;
	(void)study;
	return fn(arg, &p);
}

int
spool_stats(struct spool *sp, struct spool_stats *ret)
{
	(void)sp;
	*ret = (struct spool_stats){ .studies = rig.n_studies, .unrouted = 2,
		.space = SPOOL_SPACE_LOW };
	return 0;
}

int
spool_debts(struct spool *sp, spool_debt_fn *fn, void *arg)
{
	static const struct spool_debt debts[] = {
		{ .destination = "cloud", .owed = 3, .owed_bytes = 30, .refused = 1,
		    .oldest_owed_ms = 1 },
		{ .destination = "gone", .owed = 1 },
	};

	(void)sp;
	for (size_t i = 0; i < ARRAY_LEN(debts); i++) {
		int r = fn(arg, &debts[i]);

		if (r != 0)
			return r;
	}
	return 0;
}

int
spool_command(struct spool *sp, const struct spool_command *cmd, uint64_t *ret_n)
{
	(void)sp;
	rig.commands++;
	rig.command = *cmd;
	(void)snprintf(rig.actor, sizeof(rig.actor), "%s", cmd->actor);
	(void)snprintf(rig.reason, sizeof(rig.reason), "%s",
	    cmd->reason != NULL ? cmd->reason : "-");
	(void)snprintf(rig.destination, sizeof(rig.destination), "%s",
	    cmd->destination != NULL ? cmd->destination : "-");
	if (rig.command_result == 0)
		*ret_n = 7;
	return rig.command_result;
}

int
spool_set_damaged(struct spool *sp, uint64_t id, const char *why)
{
	(void)sp;
	(void)id;
	(void)why;
	rig.set_aside = true;
	return 0;
}

/* Nothing is received, and there is no destination to ask: system tests do that. */

struct spool_source *
spool_source_open(struct spool *sp, const struct spool_origin *origin)
{
	(void)sp;
	(void)origin;
	return NULL;
}

void spool_source_close(struct spool_source *src) { (void)src; }

int
spool_put_begin(struct spool_source *src, const struct spool_put_head *head,
    struct spool_put **ret)
{
	(void)src;
	(void)head;
	(void)ret;
	return -ENOSPC;
}

int
spool_put_write(struct spool_put *put, const void *data, size_t len)
{
	(void)put;
	(void)data;
	(void)len;
	return -ENOSPC;
}

void
spool_put_study(struct spool_put *put, const char *study_uid)
{
	(void)put;
	(void)study_uid;
}

void
spool_put_describe(struct spool_put *put, const struct dicom_head *head)
{
	(void)put;
	(void)head;
}

void spool_put_free(struct spool_put *put) { (void)put; }

int
spool_commit(struct spool_put **put, struct spool_receipt *ret)
{
	(void)put;
	(void)ret;
	return -ENOSPC;
}

struct destination *
upload_borrow(struct upload *u, const char *name)
{
	(void)u;
	(void)name;
	return NULL;
}

void
upload_return(struct upload *u, struct destination *d)
{
	(void)u;
	(void)d;
}

const char *destination_type(const struct destination *d) { (void)d; return ""; }

void
destination_probe(struct destination *d, struct destination_result *ret)
{
	(void)d;
	(void)ret;
}

int
destination_verify(struct destination *d, struct destination_look *looks, size_t n,
    bool bytes, struct destination_result *ret)
{
	(void)d;
	(void)looks;
	(void)n;
	(void)bytes;
	(void)ret;
	return -ENOTSUP;
}

int
destination_remove(struct destination *d, const struct spool_instance *in,
    struct destination_result *ret)
{
	(void)d;
	(void)in;
	(void)ret;
	return -ENOTSUP;
}

/* ---- its bytes: byte i of the data set is i modulo 251 ------------------- */

struct spool_reader { uint8_t checksum[HASH_SIZE]; };

static void
fill_bytes(uint64_t at, uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((at + i) % 251);
}

int
spool_reader_open(struct spool *sp, uint64_t id, struct spool_reader **ret)
{
	struct spool_reader *r = xcalloc(1, sizeof(*r));
	struct hash *h = hash_new();
	uint8_t piece[4096];

	(void)sp;
	(void)id;
	for (uint64_t at = 0; at < rig.length; at += sizeof(piece)) {
		size_t len = rig.length - at < sizeof(piece) ?
		    (size_t)(rig.length - at) : sizeof(piece);

		fill_bytes(at, piece, len);
		hash_update(h, piece, len);
	}
	hash_digest(h, r->checksum);
	hash_free(h);
	if (rig.damaged)
		r->checksum[3] ^= 1;
	rig.readers++;
	*ret = r;
	return 0;
}

void
spool_reader_close(struct spool_reader *r)
{
	rig.readers--;
	free(r);
}

uint64_t
spool_reader_length(const struct spool_reader *r)
{
	(void)r;
	return rig.length;
}

ssize_t
spool_reader_read(struct spool_reader *r, uint64_t at, void *data, size_t len)
{
	(void)r;
	fill_bytes(at, data, len);
	return (ssize_t)len;
}

const uint8_t *
spool_reader_checksum(const struct spool_reader *r)
{
	return r->checksum;
}

/* ---- the others --------------------------------------------------------- */

const char *
upload_state_name(enum upload_state s)
{
	static const char *const names[] = { "up", "down", "busy", "held" };

	return names[s];
}

int
upload_destinations(struct upload *u, upload_destination_fn *fn, void *arg)
{
	const struct upload_destination d = { .name = "cloud", .type = "dicomweb",
		.state = UPLOAD_DOWN, .reason = "no route to host" };

	(void)u;
	return fn(arg, &d);
}

void
upload_explain(struct upload *u, uint64_t study, char *buf, size_t size)
{
	(void)u;
	(void)study;
	(void)snprintf(buf, size, "next try at 14:03");
}

int
upload_study_traits(struct spool *sp, const struct config *cfg, uint64_t study,
    struct study_traits **ret)
{
	(void)sp;
	(void)study;
	*ret = study_traits_new(cfg);
	study_traits_note(*ret, STUDY_STATION, "ER_CT");
	return 0;
}

void
upload_nudge(struct upload *u, const char *destination)
{
	(void)u;
	(void)destination;
	rig.nudges++;
}

int
dimse_callers(struct dimse *d, dimse_caller_fn *fn, void *arg)
{
	(void)d;
	for (size_t i = 0; i < rig.n_callers; i++) {
		int r = fn(arg, &rig.caller[i]);

		if (r != 0)
			return r;
	}
	return 0;
}

int
dimse_associations(struct dimse *d, dimse_association_fn *fn, void *arg)
{
	const struct dimse_association a = { .id = 9, .calling = "CT1",
		.address = "10.0.0.1", .since_ms = 1, .stored = 2 };

	(void)d;
	return fn(arg, &a);
}

void
assoc_server_stats(struct assoc_server *s, struct assoc_server_stats *ret)
{
	(void)s;
	*ret = (struct assoc_server_stats){ .waiting = 1, .associations = 2 };
}

static int
stand_in_reload(void *arg, const char *actor, struct buf *problems)
{
	(void)arg;
	(void)snprintf(rig.actor, sizeof(rig.actor), "%s", actor);
	(void)buf_add_str(problems, "causeway.yaml:3: peers: wrong\n"
	    "causeway.yaml:9: routes: wrong\n");
	return rig.reload_result;
}

static const struct config *
stand_in_config(void *arg)
{
	(void)arg;
	return config_ref(rig.cfg);
}

/* ---- the rig ------------------------------------------------------------ */

static struct admin_options
rig_options(void)
{
	return (struct admin_options){ .control_socket = rig.socket,
		.reload = stand_in_reload, .config = stand_in_config };
}

static void
load_rig_config(const char *text)
{
	static const struct config_kind *const none[] = { NULL };
	struct buf problems = BUF_INIT(4096);
	char path[96];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/causeway.yaml", rig.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
	config_set_kinds(none, none);
	if (config_load(path, &rig.cfg, &problems) < 0)
		fail_msg("%s", problems.data);
	(void)unlink(path);
	buf_free(&problems);
}

static int
rig_start(void **state)
{
	struct buf why = BUF_INIT(4096);
	struct admin_options opt;

	(void)state;
	rig = (struct rig){ .dir = "/tmp/causeway-admin-XXXXXX", .n_studies = 3 };
	assert_non_null(mkdtemp(rig.dir));
	(void)snprintf(rig.socket, sizeof(rig.socket), "%s/s", rig.dir);
	load_rig_config("peers: [{ae_title: CT1, address: 10.0.0.0/8}]\n");
	for (size_t i = 0; i < ARRAY_LEN(rig.study); i++) {
		static const char *const uids[] = { "1.2.5", "1.2.4", "1.2.1" };

		rig.study[i] = (struct spool_study){ .id = i == 2 ? 1 : 5 - i,
			.uid = i < 3 ? uids[i] : "1.2.9",
			.accession = i < 2 ? "A17" : "B1",
			.patient_id = "4711", .patient_name = "M\xfcller^Jane",
			.study_date = "", .description = "", .modalities = "CT\\SR",
			.calling = "CT1", .called = "CAUSEWAY",
			.address = "10.0.0.1", .state = SPOOL_STUDY_OWED };
	}
	opt = rig_options();
	assert_int_equal(admin_new(&opt, &rig.admin, &why), 0);
	assert_int_equal(admin_start(rig.admin), 0);
	return 0;
}

static int
rig_stop(void **state)
{
	(void)state;
	admin_stop(rig.admin);
	admin_free(rig.admin);
	assert_int_equal(rig.readers, 0);
	assert_int_equal(access(rig.socket, F_OK), -1);
	config_unref(rig.cfg);
	assert_int_equal(rmdir(rig.dir), 0);
	return 0;
}

/* ---- the client --------------------------------------------------------- */

struct answer {
	long	   status;
	CURLcode   code;
	struct buf body;
	size_t	   stop_after;	/* of the body; 0: all */
};

static size_t
take_answer(char *data, size_t one, size_t n, void *arg)
{
	struct answer *a = arg;

	(void)one;
	(void)buf_add(&a->body, data, n);
	return a->stop_after != 0 && a->body.len >= a->stop_after ? 0 : n;
}

static void
ask(struct answer *a, const char *path, const char *body)
{
	AUTO_FREE char *url = xasprintf("http://x%s", path);
	CURL *curl = curl_easy_init();

	buf_free(&a->body);
	a->body.max = 16 << 20;
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, rig.socket);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
	if (body != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	a->code = curl_easy_perform(curl);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a->status);
	curl_easy_cleanup(curl);
}

/* The document; body NULL: GET. The caller drops it. */
static json_t *
call(const char *path, const char *body, long want)
{
	struct answer a = { .status = 0 };
	json_t *o;

	ask(&a, path, body);
	if (a.status != want)
		fail_msg("%s: %ld instead of %ld: %s", path, a.status, want,
		    a.body.len > 0 ? a.body.data : "");
	o = json_loadb(a.body.data, a.body.len, 0, NULL);
	assert_non_null(o);
	if (want != 200)
		assert_true(json_is_string(json_object_get(o, "error")));
	buf_free(&a.body);
	return o;
}

static void
expect(const char *path, const char *body, long want)
{
	json_decref(call(path, body, want));
}

#endif
