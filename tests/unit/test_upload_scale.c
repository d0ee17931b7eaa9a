/* test_upload_scale.c - an outage of days: many studies wait for three destinations,
 * and neither memory nor the way of one more depends on how many.
 *
 * CAUSEWAY_SCALE is the number of instances (50,000 if it is not set).
 */
#include "tests/unit/upload_rig.h"

#include <sqlite3.h>

#define PER_STUDY 10
#define SENDERS	  20

static struct config_destination dest_two = { .name = (char *)"two" };
static struct config_destination dest_three = { .name = (char *)"three" };
static void *three[] = { &dest_cloud, &dest_two, &dest_three };
static struct config cfg_three = { .study = &patience, .destinations = { 3, three } };

static const char fill[] =
    "PRAGMA synchronous = 0; BEGIN;"
    "INSERT INTO destination (id, name) VALUES (1, 'cloud'), (2, 'two'),"
    " (3, 'three');"
    "INSERT INTO uid (id, text) VALUES (1, '1.2.840.10008.5.1.4.1.1.2'),"
    " (2, '1.2.840.10008.1.2.1');"
    "CREATE TEMP TABLE n AS WITH RECURSIVE c (i) AS"
    " (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %llu) SELECT i FROM c;"
    "INSERT INTO source (id, calling, called, address)"
    " SELECT i, 'MOD' || i, 'CAUSEWAY', '10.0.0.' || i FROM n WHERE i <= %u;"
    "INSERT INTO study (id, uid, source, priority, first_ms, last_ms, series,"
    " instances, kept, bytes, kept_bytes, owed) SELECT i, '1.9.' || i,"
    " 1 + i %% %u, 1, i, i, 1, %u, %u, 10, 10, %u * 3 FROM n WHERE i <= %llu;"
    "INSERT INTO study_head (study) SELECT id FROM study;"
    "INSERT INTO series (id, study, uid, instances)"
    " SELECT id, id, '1.9.' || id || '.1', %u FROM study;"
    "INSERT INTO instance (id, study, series, uid, version, sop_class, syntax,"
    " source, arrived_ms, segment, offset, length, checksum, todo)"
    " SELECT i, (i - 1) / %u + 1, (i - 1) / %u + 1, '1.9.9.' || i, 1, 1, 2,"
    " 1 + i %% %u, i, 1000000 + i, 0, 500, zeroblob(16), NULL FROM n;"
    "INSERT INTO delivery (instance, destination, study, state, since_ms)"
    " SELECT i.id, d.id, i.study, 0, 1 FROM instance AS i JOIN destination AS d"
    " WHERE d.id > 0;"
    "INSERT INTO study_delivery (study, destination, owed, sent, delivered,"
    " warned, refused, let_go) SELECT s.id, d.id, %u, 0, 0, 0, 0, 0"
    " FROM study AS s JOIN destination AS d WHERE d.id > 0;"
    "UPDATE destination SET owed = %llu WHERE id > 0;"
    "COMMIT;";

static void
fill_index(const char *dir, unsigned long long instances)
{
	unsigned p = PER_STUDY;
	AUTO_FREE char *path = xasprintf("%s/index.db", dir);
	char *text = sqlite3_mprintf(fill, instances, SENDERS, SENDERS, p, p, p,
	    instances / p, p, p, p, SENDERS, p, instances);
	char *why = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), 0);
	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	sqlite3_free(text);
	assert_int_equal(sqlite3_close(db), 0);
}

static uint64_t
anonymous_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long long kib = 0;
	char line[200];

	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
			break;
	}
	(void)fclose(f);
	return kib;
}

/* From the commit of an urgent image until all three have taken it. */
static int64_t
time_of_one(unsigned long long waiting, uint64_t *ret_kib)
{
	struct site s = { 0 };
	struct buf why = BUF_INIT(4096);
	struct box *b;
	void *p;
	int64_t began;

	memset(&cloud, 0, sizeof(cloud));
	(void)pthread_mutex_init(&cloud.mu, NULL);
	(void)setup(&p);
	b = p;
	spool_close(TAKE_PTR(b->sp));
	fill_index(b->dir, waiting);
	open_box(b);
	s.box = *b;
	cloud.conduct = STALLS;
	assert_int_equal(upload_new(b->sp, &cfg_three, &s.up, &why), 0);
	spool_callbacks(b->sp, upload_wake, s.up, NULL, NULL);
	assert_int_equal(upload_start(s.up), 0);
	AWAIT(SEEN(stalled) == 9);	/* every connection has its request */
	(void)store_from(&s, "ER1", SPOOL_STAT, "1.8", 1, 500);
	began = clock_mono_ms();
	AWAIT(SEEN(n_taken) == 3);
	began = clock_mono_ms() - began;
	*ret_kib = anonymous_kib();
	upload_stop(s.up);
	spool_callbacks(b->sp, NULL, NULL, NULL, NULL);
	upload_free(s.up);
	(void)teardown(&p);
	return began;
}

static void
one_more_costs_the_same_whatever_waits(void **state)
{
	const char *scale = getenv("CAUSEWAY_SCALE");
	unsigned long long many = scale != NULL ? strtoull(scale, NULL, 10) : 50000;
	uint64_t kib_few, kib_many;
	int64_t few, lots;

	(void)state;
	few = time_of_one(1000, &kib_few);
	lots = time_of_one(many, &kib_many);
	print_message("1000 waiting: %lld ms, %llu KiB; %llu waiting: %lld ms, "
	    "%llu KiB\n", (long long)few, (unsigned long long)kib_few, many,
	    (long long)lots, (unsigned long long)kib_many);
	assert_true(lots < few + 1000);
#ifndef __SANITIZE_ADDRESS__
#ifndef __SANITIZE_THREAD__
	assert_true(kib_many < 128 * 1024);
#endif
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_more_costs_the_same_whatever_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
