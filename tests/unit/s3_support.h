/* s3_support.h - what the tests of the S3 client share: the strict stand-in
 * (tests/fake/s3.py) beside the test, a credential that signs for it, and a spool
 * in memory that keeps one note.
 */
#ifndef CW_TESTS_S3_SUPPORT_H
#define CW_TESTS_S3_SUPPORT_H

#define SPOOL_STUBS_WITHOUT_NOTES
#include "gateway/destination/s3_client_int.h"
#include "gateway/http/aws_int.h"
#include "tests/unit/stow_support.h"

/* ---- notes --------------------------------------------------------------- */

static char	*kept_note;	/* of the one delivery; NULL: none */
static unsigned	 notes_set;
static int	 note_error;	/* of the next */

int
spool_note_set(struct spool *sp, uint64_t id, const char *destination,
    const char *text)
{
	(void)sp;
	(void)id;
	assert_string_equal(destination, "cloud");
	if (note_error != 0)
		return note_error;
	notes_set++;
	free(kept_note);
	kept_note = text != NULL ? xstrdup(text) : NULL;
	return 0;
}

int
spool_note_get(struct spool *sp, uint64_t id, const char *destination,
    struct buf *ret)
{
	(void)sp;
	(void)id;
	assert_string_equal(destination, "cloud");
	return kept_note != NULL ? buf_add_str(ret, kept_note) : -ENOENT;
}

static inline void
keep_note(const char *text)
{
	free(kept_note);
	kept_note = text != NULL ? xstrdup(text) : NULL;
}

/* ---- who we are ---------------------------------------------------------- */

/* The stand-in's, see tests/fake/sigv4.py. */
static int
sign_request(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	const struct aws_keys keys = {
		.id = (char[]){ "AKIACAUSEWAYSTANDIN0" },
		.secret = (char[]){ "pUblicKn0wledge/of+the+stand-ins/of/tests" },
		.expires_ms = INT64_MAX,
	};

	(void)cred;
	(void)why;
	return sigv4_sign(&keys, s, h);
}

static const struct http_credential_kind signing_kind = {
	.config = { .name = "test" },
	.apply = sign_request,
};

/* ---- the bucket ---------------------------------------------------------- */

static struct cloud cloud;
static struct http_credential *credential;

static inline void
start_s3(void)
{
	const char *argv[] = { "/usr/bin/python3", "tests/fake/s3.py", cloud.dir,
		"--plain", "--bucket", "site", NULL };

	cloud_make_dir(cloud.dir, sizeof(cloud.dir), "s3");
	cloud_run(&cloud, argv);
}

static inline struct s3 *
open_s3(uint64_t part_size)
{
	static const struct config_choice choice = { .kind = &signing_kind.config };
	const struct http_credential_options cred = { .choice = &choice };
	struct s3_options opt = { .bucket = "site", .region = "eu-west-1",
		.endpoint = cloud.url, .path_style = true, .part_size = part_size,
		.stall_timeout_ms = 20000, .prefix = "p" };
	struct buf why = BUF_INIT(1000);
	struct s3 *s;

	assert_int_equal(http_credential_open(&cred, &credential, &why), 0);
	opt.credential = credential;
	if (s3_open(&opt, &s, &why) < 0)
		fail_msg("%s", why.data);
	buf_free(&why);
	return s;
}

static inline void
close_s3(struct s3 *s)
{
	s3_close(s);
	http_credential_close(credential);
	credential = NULL;
}

static inline struct destination_result
fresh_result(void)
{
	return (struct destination_result){ .health = DESTINATION_UP,
		.retry_after_ms = -1 };
}

#endif
