/* test_destination_orthanc.c - the same against a real server: Orthanc behind
 * nginx, with TLS and a password. Skips where they are not installed.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/dicom/head.h"
#include "tests/unit/stow_support.h"

static struct cloud cloud;

static struct destination *
open_cloud(const struct cloud *c, const char *more)
{
	AUTO_FREE char *all = xasprintf(", tls: {ca_file: %s}, credential: {type: "
	    "basic, user: site7, password_file: %s}%s", c->ca, c->password_file,
	    more);

	return open_destination(c->url, all);
}

static void
check_all(const struct destination_item *items, enum destination_verdict v)
{
	for (size_t i = 0; i < fake_spool.n; i++) {
		if (items[i].verdict != v)
			fail_msg("%s %s: %d %s", items[i].in.sop_instance,
			    items[i].in.syntax, items[i].verdict,
			    items[i].reason);
	}
}

/* Sends everything, then asks for it: nothing is sent twice. */
static void
deliver_and_check(const struct cloud *c, const char *more)
{
	struct destination *d = open_cloud(c, more);
	struct destination_result r;
	struct destination_item *items = deliver_all(d, &r);

	if (r.health != DESTINATION_UP)
		fail_msg("%s", r.reason);
	check_all(items, DESTINATION_OK);
	free(items);
	for (size_t i = 0; i < fake_spool.n; i++)
		fake_spool.o[i].in.check = true;
	items = deliver_all(d, &r);
	assert_int_equal(r.health, DESTINATION_UP);
	check_all(items, DESTINATION_OK);
	assert_int_equal(r.bytes, 0);
	free(items);
	close_destination(d);
}

static void
need_cloud(void)
{
	if (cloud.url[0] == '\0')
		skip();
}

static void
test_many_in_one_request(void **state)
{
	static const char *const flavors[] = { "", ", flavor: orthanc" };

	(void)state;
	need_cloud();
	for (unsigned f = 0; f < ARRAY_LEN(flavors); f++) {
		forget_objects();
		for (unsigned i = 0; i < 40; i++)
			(void)add_sized(i % 3 == 0 ? DICOM_UID_IMPLICIT_LE :
				DICOM_UID_EXPLICIT_LE, 100 * f + i, 1,
			    i == 17 ? 3 << 20 : 50000);
		deliver_and_check(&cloud, flavors[f]);
	}
}

static void
test_03_versions(void **state)
{
	struct destination *d;
	struct destination_result r;
	struct destination_item *items;

	(void)state;
	need_cloud();
	forget_objects();
	(void)add_object(1000, 1);
	deliver_and_check(&cloud, "");
	forget_objects();
	(void)add_object(1000, 2);
	d = open_cloud(&cloud, "");
	items = deliver_all(d, &r);
	check_all(items, DESTINATION_REFUSED);
	free(items);
	close_destination(d);
	/* Its DICOMweb deletes nothing ... */
	d = open_cloud(&cloud, ", on_conflict: replace");
	items = deliver_all(d, &r);
	check_all(items, DESTINATION_REFUSED);
	SAYS(items[0].reason, "does not let us delete");
	free(items);
	close_destination(d);
	/* ... its own interface does. */
	d = open_cloud(&cloud, ", on_conflict: replace, flavor: orthanc");
	items = deliver_all(d, &r);
	check_all(items, DESTINATION_OK);
	free(items);
	close_destination(d);
}

/* Without Orthanc's own interface; overwrite: it replaces by itself. */
static void
replace_without_rest(bool overwrite)
{
	struct cloud c = { 0 };
	struct destination *d;
	struct destination_result r;
	struct destination_item *items;

	assert_true(cloud_start_real(&c, "--no-rest", overwrite ? "--overwrite" :
	    NULL));
	forget_objects();
	(void)add_object(1000, 1);
	deliver_and_check(&c, "");
	forget_objects();
	(void)add_object(1000, 2);
	d = open_cloud(&c, ", on_conflict: replace, flavor: orthanc");
	items = deliver_all(d, &r);
	check_all(items, overwrite ? DESTINATION_OK : DESTINATION_REFUSED);
	if (!overwrite)
		SAYS(items[0].reason, "set OverwriteInstances");
	free(items);
	close_destination(d);
	cloud_stop(&c);
}

static void
test_04_replace_without_its_own_interface(void **state)
{
	(void)state;
	need_cloud();
	replace_without_rest(false);
	replace_without_rest(true);
}

static void
test_bad_among_good(void **state)
{
	struct destination *d;
	struct destination_result r;
	struct destination_item *items;

	(void)state;
	need_cloud();
	forget_objects();
	(void)add_object(2000, 1);
	(void)keep_object(DICOM_UID_EXPLICIT_LE, 2001, 1,
	    xstrdup("this is no data set at all, nor will it be"), 42);
	(void)add_object(2002, 1);
	d = open_cloud(&cloud, "");
	items = deliver_all(d, &r);
	print_message("health %d (%s), %d %d %d (%s)\n", r.health, r.reason,
	    items[0].verdict, items[1].verdict, items[2].verdict,
	    items[1].reason);
	assert_true(items[1].verdict == DESTINATION_RETRY ||
	    items[1].verdict == DESTINATION_REFUSED);
	assert_true(items[0].verdict == DESTINATION_OK ||
	    r.health == DESTINATION_FAILED);
	free(items);
	close_destination(d);
}

static void
test_who_is_not_let_in(void **state)
{
	struct destination *d;
	struct destination_result r;
	AUTO_FREE char *more = xasprintf(", tls: {ca_file: %s}, credential: {type: "
	    "basic, user: site8, password_file: %s}", cloud.ca,
	    cloud.password_file);

	(void)state;
	need_cloud();
	d = open_destination(cloud.url, more);
	destination_probe(d, &r);
	assert_int_equal(r.health, DESTINATION_DOWN);
	SAYS(r.reason, "user site8 with password_file");
	close_destination(d);
	d = open_cloud(&cloud, "");
	destination_probe(d, &r);
	assert_int_equal(r.health, DESTINATION_UP);
	close_destination(d);
	/* The CA is nobody's that this machine knows. */
	d = open_destination(cloud.url, "");
	destination_probe(d, &r);
	assert_int_equal(r.health, DESTINATION_DOWN);
	SAYS(r.reason, "ca_file");
	close_destination(d);
}

static void
test_413_of_nginx(void **state)
{
	struct cloud c = { 0 };
	struct destination *d;
	struct destination_result r;
	struct destination_item *items;

	(void)state;
	need_cloud();
	assert_true(cloud_start_real(&c, "--max-body", "1m"));
	forget_objects();
	for (unsigned i = 0; i < 200; i++)
		(void)add_sized(DICOM_UID_EXPLICIT_LE, 3000 + i, 1, 500000);
	d = open_cloud(&c, "");
	items = deliver_all(d, &r);
	if (r.health != DESTINATION_TOO_LARGE)
		fail_msg("%d %s", r.health, r.reason);
	check_all(items, DESTINATION_RETRY);
	free(items);
	close_destination(d);
	cloud_stop(&c);
}

struct tally {
	struct destination *d;
	unsigned n, stored, conflicts;
};

static void
copy_uid(const struct dicom_head *h, enum dicom_head_id id, char ret[static 65])
{
	(void)snprintf(ret, 65, "%s", dicom_head_get(h, id, NULL));
}

/* False when it has no UIDs: nobody would have promised it. */
static bool
identify(struct fake_object *o)
{
	struct dicom_head_reader *r = dicom_head_reader_new(
	    dicom_syntax_find(o->in.syntax));
	const struct dicom_head *h = dicom_head_reader_head(r);
	bool known;

	(void)dicom_head_reader_feed(r, o->data, o->length);
	known = dicom_head_identified(h);
	copy_uid(h, DICOM_HEAD_SOP_CLASS, o->in.sop_class);
	copy_uid(h, DICOM_HEAD_SOP_INSTANCE, o->in.sop_instance);
	copy_uid(h, DICOM_HEAD_STUDY_UID, o->in.study_uid);
	copy_uid(h, DICOM_HEAD_SERIES_UID, o->in.series_uid);
	dicom_head_reader_free(r);
	return known;
}

/* What it took it can show, and that equals what we have, unless the object before
 * had the same UID. */
static void
send_real(const struct object *o, void *arg)
{
	struct tally *t = arg;
	struct destination_item item = { .verdict = DESTINATION_RETRY };
	char *data = xcalloc(1, o->len - o->at + 1);
	struct destination_result r;
	struct fake_object *kept;

	forget_objects();
	memcpy(data, o->data + o->at, o->len - o->at);
	kept = keep_object(o->meta.syntax, 1, 1, data, o->len - o->at);
	if (!identify(kept))
		return;
	t->n++;
	item.in = kept->in;
	destination_deliver(t->d, &item, 1, &r);
	if (item.verdict != DESTINATION_OK) {
		print_message("%s: %d %d %s %s\n", o->name, r.health,
		    item.verdict, item.reason, r.reason);
		return;
	}
	item.in.check = true;
	destination_deliver(t->d, &item, 1, &r);
	if (item.verdict == DESTINATION_OK) {
		assert_int_equal(r.bytes, 0);
		t->stored++;
	} else {
		SAYS(item.reason, "other bytes under this UID");
		t->conflicts++;
	}
}

static void
test_real_objects(void **state)
{
	static const char *const flavors[] = { "", ", flavor: orthanc" };

	(void)state;
	need_cloud();
	for (size_t i = 0; i < ARRAY_LEN(flavors); i++) {
		struct tally t = { .d = open_cloud(&cloud, flavors[i]) };

		(void)visit_objects(send_real, &t);
		print_message("of %u objects %u are stored, %u had the UID of "
		    "another\n", t.n, t.stored, t.conflicts);
		assert_true((t.stored + t.conflicts) * 10 >= t.n * 9);
		close_destination(t.d);
	}
}

static int
set_up(void **state)
{
	(void)state;
	(void)cloud_start_real(&cloud, NULL, NULL);
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	forget_objects();
	cloud_stop(&cloud);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_in_one_request),
		cmocka_unit_test(test_03_versions),
		cmocka_unit_test(test_04_replace_without_its_own_interface),
		cmocka_unit_test(test_bad_among_good),
		cmocka_unit_test(test_who_is_not_let_in),
		cmocka_unit_test(test_413_of_nginx),
		cmocka_unit_test(test_real_objects),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
