/* issuer_support.h - the issuers of tests/fake beside a unit test, the certificates
 * of pki.py, and what a credential makes of them: a header, or a reason.
 */
#ifndef CW_TESTS_ISSUER_SUPPORT_H
#define CW_TESTS_ISSUER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"
#include "tests/unit/cloud_support.h"

/* more: arguments besides, ends with NULL. */
static inline void
issuer_start(struct cloud *c, const char *program, const char *const *more)
{
	const char *argv[16] = { "/usr/bin/python3", program, c->dir, "--certs",
		cloud_certs };
	size_t n = 5;

	if (cloud_certs[0] == '\0')
		cloud_make_dir(cloud_certs, sizeof(cloud_certs), "certs");
	cloud_make_dir(c->dir, sizeof(c->dir), "issuer");
	while (more != NULL && *more != NULL)
		argv[n++] = *more++;
	cloud_run(c, argv);
	assert_true(c->url[0] != '\0');
}

static inline void
issuer_make_pki(const char *dir)
{
	AUTO_FREE char *command = xasprintf("exec /usr/bin/python3 -c \"import sys; "
	    "sys.path.insert(0, 'tests/fake'); import pki; pki.make('%s')\"", dir);

	assert_int_equal(system(command), 0);
}

static inline char *
issuer_path(const char *dir, const char *name)
{
	static char path[64][256];
	static unsigned next;
	char *p = path[next++ % 64];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

/* why is emptied first; after success it holds the warnings. */
static inline int
issuer_open(const struct http_credential_kind *kind, void *options,
    struct http_credential **ret, struct buf *why)
{
	/* The credential outlives this: the options are static or the caller's. */
	static struct config_choice choice[8];
	static unsigned next;
	struct config_choice *c = &choice[next++ % 8];
	const struct http_credential_options co = { .choice = c };

	*c = (struct config_choice){ .kind = &kind->config, .options = options };
	buf_clear(why);
	return http_credential_open(&co, ret, why);
}

static inline int
issuer_apply_at(const struct http_credential *c, const struct http_request *req,
    int64_t now_ms, struct http_headers *h, struct buf *why)
{
	static const struct http_service service = { .name = "s3",
		.region = "eu-west-1" };
	const struct http_signing s = { .req = req, .service = &service,
		.host = "localhost", .path = "/", .query = "", .now_ms = now_ms };

	*h = (struct http_headers){ 0 };
	buf_clear(why);
	return credential_apply(c, &s, h, why);
}

/* The value of its header Authorization, "" when it has none and why says why. */
static inline const char *
issuer_apply(const struct http_credential *c, struct buf *why)
{
	static char value[4][4096];
	static unsigned next;
	const struct http_request req = { .method = "GET", .path = "/" };
	char *p = value[next++ % 4];
	struct http_headers h;

	*p = '\0';
	if (issuer_apply_at(c, &req, clock_wall_ms(), &h, why) == 0) {
		assert_true(h.n > 0);
		for (size_t i = 0; i < h.n; i++) {
			if (strncmp(h.line[i], "Authorization: ", 15) == 0)
				(void)snprintf(p, sizeof(value[0]), "%s",
				    h.line[i] + 15);
		}
	} else {
		assert_true(why->len > 0);
	}
	http_headers_free(&h);
	return p;
}

static inline bool
issuer_refresh(const struct http_credential *c, int status, const char *body)
{
	struct http_reply r = { .outcome = HTTP_ANSWERED, .status = status,
		.body = BUF_INIT(1000), .head = BUF_INIT(1000) };
	bool again;

	(void)buf_add_str(&r.body, body);
	again = credential_refresh(c, &r);
	http_reply_free(&r);
	return again;
}

#define SAYS(why, text)                                                 \
	do {                                                            \
		if ((why).len == 0 || strstr((why).data, (text)) == NULL)     \
			fail_msg("\"%s\" lacks \"%s\"", (why).len > 0 ?       \
			    (why).data : "", (text));                         \
	} while (0)

#endif
