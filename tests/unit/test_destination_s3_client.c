/* test_destination_s3_client.c - the S3 client against a strict S3: many objects,
 * conditions, and uploads in parts from where their note says.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/s3_support.h"

#define PART  (5u << 20)
#define MANY  1007

static int
forget(void **state)
{
	(void)state;
	forget_objects();
	keep_note(NULL);
	notes_set = 0;
	note_error = 0;
	cloud_order(&cloud, "{}");
	return 0;
}

/* ---- many ---------------------------------------------------------------- */

struct listed { unsigned n, stop_at; uint64_t bytes; char first[100]; };

static int
count_listed(void *arg, const char *key, uint64_t length)
{
	struct listed *l = arg;

	if (l->n++ == 0)
		(void)snprintf(l->first, sizeof(l->first), "%s", key);
	l->bytes += length;
	return l->n == l->stop_at;
}

static void
put_many(struct s3 *s, char **keys, const char *prefix)
{
	for (unsigned i = 0; i < MANY; i++) {
		struct destination_result r = fresh_result();

		/* An odd name, and none that S3 would not keep. */
		keys[i] = xasprintf("%s/%04u +&<>\"'%%=,\xc3\xbc~", prefix, i);
		assert_int_equal(s3_put_text(s, keys[i], "text/plain", "abc", 3,
		    false, &r), S3_DONE);
	}
}

static void
test_many(void **state)
{
	char *keys[MANY + 1];
	struct s3 *s = open_s3(PART);
	struct destination_result r = fresh_result();
	struct listed l = { 0 };

	(void)state;
	put_many(s, keys, "many");
	assert_int_equal(s3_put_text(s, "manyfold", "text/plain", "", 0, false, &r),
	    S3_DONE);
	assert_int_equal(s3_list(s, "many/", count_listed, &l, &r), S3_DONE);
	assert_int_equal(l.n, MANY);
	assert_int_equal(l.bytes, 3 * MANY);
	assert_string_equal(l.first, keys[0]);
	l = (struct listed){ .stop_at = 3 };
	assert_int_equal(s3_list(s, "many/", count_listed, &l, &r), S3_DONE);
	assert_int_equal(l.n, 3);

	keys[MANY] = xstrdup("many/never there");
	assert_int_equal(s3_delete(s, (const char *const *)keys, MANY + 1, &r),
	    S3_DONE);
	assert_int_equal(cloud_count(&cloud, "'operation': 'DeleteObjects'"), 2);
	l = (struct listed){ 0 };
	assert_int_equal(s3_list(s, "many/", count_listed, &l, &r), S3_DONE);
	assert_int_equal(l.n, 0);
	assert_int_equal(s3_list(s, "many", count_listed, &l, &r), S3_DONE);
	assert_int_equal(l.n, 1);
	assert_int_equal(r.health, DESTINATION_UP);
	for (unsigned i = 0; i <= MANY; i++)
		free(keys[i]);
	close_s3(s);
}

/* Of servers that do not know how to go on. */
static void
test_lists_without_end(void **state)
{
	static const char *const again = "{'script': [{'operation': 'ListObjectsV2',"
	    " 'times': -1, 'status': 200, 'body': '<ListBucketResult>"
	    "<Contents><Key>a</Key></Contents><IsTruncated>true</IsTruncated>"
	    "<NextContinuationToken>on</NextContinuationToken>"
	    "</ListBucketResult>'}]}";
	struct s3 *s = open_s3(PART);
	struct destination_result r = fresh_result();
	struct listed l = { 0 };

	(void)state;
	cloud_order(&cloud, again);
	assert_int_equal(s3_list(s, "", count_listed, &l, &r), S3_FAILED);
	assert_int_equal(r.health, DESTINATION_FAILED);
	SAYS(r.reason, "does not come to an end");
	assert_int_equal(l.n, 2);
	cloud_order(&cloud, "{}");
	close_s3(s);
}

static void
test_deletions_are_looked_at(void **state)
{
	static const char *const keys[] = { "d/1", "d/2", "d/3" };
	struct s3 *s = open_s3(PART);
	struct destination_result r = fresh_result();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(s3_put_text(s, keys[i], "text/plain", "x", 1, false,
		    &r), S3_DONE);
	cloud_order(&cloud, "{'config': {'s3': {'fail_delete': 'd/2'}}}");
	assert_int_equal(s3_delete(s, keys, 3, &r), S3_FAILED);
	assert_int_equal(r.health, DESTINATION_FAILED);
	SAYS(r.reason, "InternalError");
	r = fresh_result();
	assert_int_equal(s3_head(s, "d/2", NULL, &r), S3_DONE);
	assert_int_equal(s3_head(s, "d/3", NULL, &r), S3_ABSENT);
	cloud_order(&cloud, "{'script': [{'operation': 'DeleteObjects', 'error': "
	    "'NotImplemented', 'status': 501}]}");
	assert_int_equal(s3_delete(s, keys, 3, &r), S3_DONE);
	assert_int_equal(s3_head(s, "d/2", NULL, &r), S3_ABSENT);
	assert_int_equal(r.health, DESTINATION_UP);
	close_s3(s);
}

/* ---- texts --------------------------------------------------------------- */

static void
test_texts(void **state)
{
	struct s3 *s = open_s3(PART);
	struct destination_result r = fresh_result();
	struct buf text = BUF_INIT(100);
	uint64_t length = 0;

	(void)state;
	assert_int_equal(s3_probe(s, &r), S3_DONE);
	assert_int_equal(s3_get_text(s, "t/1", 100, &text, &r), S3_ABSENT);
	assert_int_equal(s3_put_text(s, "t/1", "text/plain", "one", 3, true, &r),
	    S3_DONE);
	/* It was shown, by writing the same again, that conditions are kept. */
	assert_int_equal(atomic_load(&s->conditions), S3_HONOURED);
	assert_int_equal(s3_put_text(s, "t/1", "text/plain", "two", 3, true, &r),
	    S3_EXISTS);
	assert_int_equal(s3_get_text(s, "t/1", 100, &text, &r), S3_DONE);
	assert_string_equal(text.data, "one");
	assert_int_equal(s3_head(s, "t/1", &length, &r), S3_DONE);
	assert_int_equal(length, 3);
	assert_int_equal(r.health, DESTINATION_UP);
	assert_int_equal(s3_get_text(s, "t/1", 2, &text, &r), S3_FAILED);
	assert_int_equal(r.health, DESTINATION_FAILED);
	buf_free(&text);
	close_s3(s);
}

static void
test_conditions_ignored(void **state)
{
	struct s3 *s = open_s3(PART);
	struct destination_result r = fresh_result();

	(void)state;
	/* A server that does not look at the header: the second PUT is a success. */
	cloud_order(&cloud, "{'script': [{'operation': 'PutObject', 'skip': 1, "
	    "'status': 200, 'body': ''}]}");
	assert_int_equal(s3_put_text(s, "c/1", "text/plain", "one", 3, true, &r),
	    S3_DONE);
	assert_int_equal(atomic_load(&s->conditions), S3_UNKNOWN);
	assert_int_equal(s3_put_text(s, "c/1", "text/plain", "two", 3, true, &r),
	    S3_EXISTS);
	/* Then it must be looked. */
	cloud_order(&cloud, "{'config': {'allow': [['s3:PutObject', 'site']]}}");
	assert_int_equal(s3_put_text(s, "c/2", "text/plain", "two", 3, true, &r),
	    S3_FAILED);
	SAYS(r.reason, "s3:GetObject");
	close_s3(s);
}

/* ---- parts --------------------------------------------------------------- */

struct sent {
	enum s3_said said;
	struct destination_result r;
	char why[256];
};

/* As the uploader would, with a file that was just opened. */
static struct sent
put_object(struct s3 *s, const struct fake_object *o, const char *key, bool only_new)
{
	AUTO(cleanup_instance_file_close) struct instance_file *f = NULL;
	struct sent sent = { .r = fresh_result() };
	struct s3_object object = { .key = key, .only_new = only_new,
		.spool = &fake_spool, .instance = o->in.id, .destination = "cloud" };

	assert_int_equal(instance_file_open(&fake_spool, &o->in, &f), 0);
	object.file = f;
	sent.said = s3_put(s, &object, &sent.r, sent.why, sizeof(sent.why));
	return sent;
}

static unsigned
parts_sent(unsigned number, const char *key)
{
	AUTO_FREE char *text = xasprintf("/%s?partNumber=%u&", key, number);

	return cloud_count(&cloud, text);
}

static void
test_parts_go_on(void **state)
{
	struct fake_object *o = add_sized(DICOM_UID_EXPLICIT_LE, 1, 1, 3 * PART + 7);
	struct s3 *s = open_s3(PART);
	struct sent sent;

	(void)state;
	cloud_order(&cloud, "{'script': [{'operation': 'UploadPart', 'skip': 2, "
	    "'error': 'SlowDown', 'status': 503}]}");
	sent = put_object(s, o, "go/on", true);
	assert_int_equal(sent.said, S3_FAILED);
	assert_int_equal(sent.r.health, DESTINATION_BUSY);
	assert_int_equal(notes_set, 3);
	SAYS(kept_note, "\"etags\":[");
	assert_true(sent.r.bytes > 2 * PART);

	sent = put_object(s, o, "go/on", true);
	assert_int_equal(sent.said, S3_DONE);
	assert_null(kept_note);
	for (unsigned i = 1; i <= 4; i++)
		assert_int_equal(parts_sent(i, "go/on"), i == 3 ? 2 : 1);
	assert_int_equal(put_object(s, o, "go/on", true).said, S3_EXISTS);
	assert_int_equal(cloud_count(&cloud, "/go/on?uploads="), 1);
	close_s3(s);
}

static void
test_notes_that_do_not_fit(void **state)
{
	static const char *const notes[] = { "", "{}", "[1]",
		"{\"s3_upload\": 1, \"bucket\": \"site\", \"key\": \"no/fit\", "
		"\"upload\": \"unknown\", \"length\": 1, \"part\": 5242880, \"etags\": "
		"[]}" };
	struct s3 *s = open_s3(PART);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(notes); i++) {
		struct fake_object *o = add_sized(DICOM_UID_EXPLICIT_LE, i, 1,
		    PART + 100);

		keep_note(notes[i]);
		assert_int_equal(put_object(s, o, "no/fit", false).said, S3_DONE);
		assert_null(kept_note);
	}
	close_s3(s);
}

static void
test_note_of_another_key(void **state)
{
	struct fake_object *o = add_sized(DICOM_UID_EXPLICIT_LE, 1, 1, 2 * PART);
	struct s3 *s = open_s3(PART);
	unsigned before = cloud_count(&cloud, "'AbortMultipartUpload'");

	(void)state;
	cloud_order(&cloud, "{'script': [{'operation': 'UploadPart', 'skip': 1, "
	    "'error': 'SlowDown', 'status': 503}]}");
	assert_int_equal(put_object(s, o, "old/key", true).said, S3_FAILED);
	assert_int_equal(put_object(s, o, "new/key", true).said, S3_DONE);
	assert_int_equal(cloud_count(&cloud, "'AbortMultipartUpload'"), before + 1);
	assert_int_equal(parts_sent(1, "new/key"), 1);
	close_s3(s);
}

static void
test_let_go_meanwhile(void **state)
{
	struct fake_object *o = add_sized(DICOM_UID_EXPLICIT_LE, 1, 1, 2 * PART);
	struct s3 *s = open_s3(PART);
	unsigned before = cloud_count(&cloud, "'AbortMultipartUpload'");
	struct sent sent;

	(void)state;
	note_error = -ENOENT;
	sent = put_object(s, o, "let/go", true);
	assert_int_equal(sent.said, S3_FAILED);
	assert_int_equal(sent.r.health, DESTINATION_UP);
	assert_int_equal(cloud_count(&cloud, "'AbortMultipartUpload'"), before + 1);
	/* Dropped after it was interrupted: whoever comes next clears up. */
	note_error = 0;
	cloud_order(&cloud, "{'script': [{'operation': 'UploadPart', 'skip': 1, "
	    "'error': 'SlowDown', 'status': 503}]}");
	assert_int_equal(put_object(s, o, "let/go", true).said, S3_FAILED);
	s3_tidy(s);
	assert_int_equal(cloud_count(&cloud, "'AbortMultipartUpload'"), before + 1);
	keep_note(NULL);
	s3_tidy(s);
	assert_int_equal(cloud_count(&cloud, "'AbortMultipartUpload'"), before + 2);
	s3_tidy(s);
	assert_int_equal(cloud_count(&cloud, "'AbortMultipartUpload'"), before + 2);
	close_s3(s);
}

static void
test_damage_is_not_sent(void **state)
{
	struct fake_object *large = add_sized(DICOM_UID_EXPLICIT_LE, 1, 1, 2 * PART);
	struct fake_object *small = add_object(2, 1);
	struct s3 *s = open_s3(PART);

	(void)state;
	large->data[large->length / 2] ^= 4;
	small->data[small->length / 2] ^= 4;
	assert_int_equal(put_object(s, large, "damaged/1", true).said,
	    S3_UNREADABLE);
	assert_int_equal(put_object(s, small, "damaged/2", true).said,
	    S3_UNREADABLE);
	assert_int_equal(cloud_count(&cloud, "/damaged/1?uploads"), 0);
	assert_int_equal(cloud_count(&cloud, "'PUT', 'path': '/site/damaged"), 0);
	close_s3(s);
}

static void
test_what_is_refused(void **state)
{
	struct fake_object *o = add_object(1, 1);
	struct s3 *s = open_s3(PART);
	char key[S3_KEY_MAX + 2];
	struct sent sent;

	(void)state;
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	sent = put_object(s, o, key, true);
	assert_int_equal(sent.said, S3_REFUSED);
	SAYS(sent.why, "1024");
	cloud_order(&cloud, "{'config': {'s3': {'single_put': 100}}}");
	sent = put_object(s, o, "too/large", true);
	assert_int_equal(sent.said, S3_REFUSED);
	SAYS(sent.why, "EntityTooLarge");
	assert_int_equal(sent.r.health, DESTINATION_UP);
	close_s3(s);
}

static void
test_canceled(void **state)
{
	struct fake_object *o = add_object(1, 1);
	struct s3 *s = open_s3(PART);
	struct sent sent;

	(void)state;
	s3_cancel(s);
	sent = put_object(s, o, "canceled", true);
	assert_int_equal(sent.said, S3_FAILED);
	assert_int_equal(sent.r.health, DESTINATION_CANCELED);
	close_s3(s);
}

static int
set_up(void **state)
{
	(void)state;
	start_s3();
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)forget(state);
	cloud_stop(&cloud);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_many, forget),
		cmocka_unit_test_setup(test_lists_without_end, forget),
		cmocka_unit_test_setup(test_deletions_are_looked_at, forget),
		cmocka_unit_test_setup(test_texts, forget),
		cmocka_unit_test_setup(test_conditions_ignored, forget),
		cmocka_unit_test_setup(test_parts_go_on, forget),
		cmocka_unit_test_setup(test_notes_that_do_not_fit, forget),
		cmocka_unit_test_setup(test_note_of_another_key, forget),
		cmocka_unit_test_setup(test_let_go_meanwhile, forget),
		cmocka_unit_test_setup(test_damage_is_not_sent, forget),
		cmocka_unit_test_setup(test_what_is_refused, forget),
		cmocka_unit_test_setup(test_canceled, forget),
	};
	const char *argv[] = { "/usr/bin/python3", "-c", "import botocore, "
		"cryptography, pydicom", NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)execv(argv[0], (char **)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		puts("skip - the S3 client: its stand-in needs python3-botocore");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
