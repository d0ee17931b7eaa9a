/* test_spool_salvage.c - every image out of a bare disk, and what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/faulty_disk.h"

#include "gateway/dicom/part10.h"
#include "spool/settle_int.h"
#include "tests/unit/spool_files.h"

static char tree[64], spool[80], out[80];

static int
make_tree(void **state)
{
	(void)state;
	disk_reset();
	disk_make_tree(tree);
	(void)snprintf(spool, sizeof(spool), "%s/spool", tree);
	(void)snprintf(out, sizeof(out), "%s/out", tree);
	return 0;
}

static int
drop_tree(void **state)
{
	(void)state;
	disk_reset();
	disk_remove_tree(tree);
	return 0;
}

struct told {
	unsigned whole, problems;
	char	 problem[300], file[300];	/* the last problem */
};

static void
note(void *arg, const char *file, const char *problem)
{
	struct told *t = arg;

	if (problem == NULL) {
		t->whole++;
		return;
	}
	t->problems++;
	(void)snprintf(t->problem, sizeof(t->problem), "%s", problem);
	(void)snprintf(t->file, sizeof(t->file), "%s", file);
}

static struct told
salvage(void)
{
	struct buf why = BUF_INIT(4096);
	struct told t = { 0 };
	int r;

	r = spool_salvage(spool, out, note, &t, &why);
	if (r < 0)
		fail_msg("spool_salvage: %d %s", r, why.data);
	buf_free(&why);
	return t;
}

/* An object of one UID, in a segment or its own container. */
static uint64_t
store_object(struct store *st, const char *study, const char *instance,
    const char *text, bool own, struct store_place *ret_at)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct store_own *o = NULL;
	struct record rec;
	uint64_t id;

	assert_int_equal(store_next_id(st, &id), 0);
	rec = object_record(id, (const uint8_t *)text, strlen(text));
	(void)snprintf(rec.study_uid, sizeof(rec.study_uid), "%s", study);
	(void)snprintf(rec.head.sop_instance, sizeof(rec.head.sop_instance),
	    "%s", instance);
	*ret_at = (struct store_place) { 0, 0 };
	if (own) {
		assert_int_equal(store_own_create(st, id, &o), 0);
		assert_int_equal(store_own_write(o, text, strlen(text)), 0);
		assert_int_equal(store_own_finish(o, &rec), 0);
		store_own_close(o, true);
		return id;
	}
	if (store_wants_standby(st))
		assert_int_equal(make_standby(st), 0);
	assert_int_equal(store_reserve(st, RECORD_HEAD + rec.length, 0, ret_at,
	    &rec.generation), 0);
	rec.segment = ret_at->segment;
	assert_int_equal(store_append(st, ret_at, &rec, &iov, 1), 0);
	assert_int_equal(store_sync(st), 0);
	store_landed(st, ret_at);
	return id;
}

static void
assert_file(const char *name, const char *text)
{
	char path[400], *data = NULL;
	struct dicom_part10 head;
	size_t len = 0, size = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", out, name);
	if (fdio_slurp(AT_FDCWD, path, 1 << 20, &data, &len) < 0)
		fail_msg("no %s", path);
	assert_int_equal(dicom_part10_parse(data, len, &head, &size), 0);
	assert_string_equal(head.syntax, "1.2.840.10008.1.2.1");
	assert_string_equal(head.sop_class, "1.2.840.10008.5.1.4.1.1.2");
	assert_int_equal(len - size, strlen(text));
	assert_memory_equal(data + size, text, strlen(text));
	free(data);
}

static bool
is_there(const char *name)
{
	char path[400];

	(void)snprintf(path, sizeof(path), "%s/%s", out, name);
	return access(path, F_OK) == 0;
}

static void
shell(const char *format, ...)
{
	char command[400];
	int status = -1;
	va_list ap;
	pid_t pid;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	pid = fork();
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
test_all_containers_come_out(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	struct told t;
	uint64_t id;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "in a segment", false, &at);
	(void)store_object(st, "1.2", "1.2.2", "in open", true, &at);
	id = store_object(st, "1.3", "1.3.1", "in objects", true, &at);
	assert_int_equal(store_own_publish(st, id), 0);
	id = store_object(st, "1.3", "1.3.2", "set aside", true, &at);
	assert_int_equal(store_own_set_aside(st, id), 0);
	store_close(st);

	t = salvage();
	assert_int_equal(t.whole, 4);
	assert_int_equal(t.problems, 0);
	assert_file("1.2/1.2.3.4/1.2.1.v1.dcm", "in a segment");
	assert_file("1.2/1.2.3.4/1.2.2.v1.dcm", "in open");
	assert_file("1.3/1.2.3.4/1.3.1.v1.dcm", "in objects");
	assert_file("1.3/1.2.3.4/1.3.2.v1.dcm", "set aside");
	assert_false(is_there(".causeway-partial"));
}

static void
test_versions_go_by_id_and_a_second_run_adds_nothing(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	struct told t;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "first", true, &at);
	(void)store_object(st, "1.2", "1.2.1", "second", false, &at);
	(void)store_object(st, "1.2", "1.2.1", "third", true, &at);
	store_close(st);
	for (int run = 0; run < 2; run++) {
		t = salvage();
		assert_int_equal(t.whole, 3);
		assert_file("1.2/1.2.3.4/1.2.1.v1.dcm", "first");
		assert_file("1.2/1.2.3.4/1.2.1.v2.dcm", "second");
		assert_file("1.2/1.2.3.4/1.2.1.v3.dcm", "third");
		assert_false(is_there("1.2/1.2.3.4/1.2.1.v4.dcm"));
	}
}

static void
test_nothing_is_overwritten(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "ours", false, &at);
	store_close(st);
	shell("mkdir -p %s/1.2/1.2.3.4 && echo theirs >%s/1.2/1.2.3.4/1.2.1.v1.dcm",
	    out, out);
	shell("ln -s /etc/passwd %s/1.2/1.2.3.4/1.2.1.v2.dcm", out);
	shell("mkdir %s/1.2/1.2.3.4/1.2.1.v3.dcm", out);
	assert_int_equal(salvage().whole, 1);
	assert_file("1.2/1.2.3.4/1.2.1.v4.dcm", "ours");
	shell("grep -q theirs %s/1.2/1.2.3.4/1.2.1.v1.dcm", out);
	shell("test -L %s/1.2/1.2.3.4/1.2.1.v2.dcm", out);
}

/* Invariant 3. */
static void
test_hostile_uids_stay_below_out(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;

	(void)state;
	(void)store_object(st, "../../etc", "..", "object a", false, &at);
	(void)store_object(st, ".", "1;rm -rf /", "object b", false, &at);
	(void)store_object(st, "", "\x01\xff$(x)", "object c", false, &at);
	store_close(st);
	assert_int_equal(salvage().whole, 3);
	assert_file("_._..____/1.2.3.4/_..v1.dcm", "object a");
	assert_file("_/1.2.3.4/1_________.v1.dcm", "object b");
	assert_file("_/1.2.3.4/______.v1.dcm", "object c");
}

static void
test_6_expunged_is_left_out(void **state)
{
	struct store *st = open_store(spool);
	struct settle_log *log = NULL;
	struct settle_entry e = { .verb = SETTLE_EXPUNGED, .destination = "",
		.study = "", .actor = "", .reason = "" };
	struct store_place at;
	uint64_t bad, id;

	(void)state;
	e.id = store_object(st, "1.2", "1.2.1", "let go", false, &at);
	(void)store_object(st, "1.2", "1.2.2", "ours", false, &at);
	id = store_object(st, "1.2", "1.2.3", "delivered, still here", true, &at);
	assert_int_equal(settle_open(store_dirfd(st), &log, &bad), 0);
	assert_int_equal(settle_append(log, &e), 0);
	e.verb = SETTLE_DELIVERY;
	e.state = SPOOL_DELIVERED;
	e.id = id;
	assert_int_equal(settle_append(log, &e), 0);
	assert_int_equal(settle_sync(log), 0);
	settle_close(log);
	store_close(st);
	assert_int_equal(salvage().whole, 2);
	assert_false(is_there("1.2/1.2.3.4/1.2.1.v1.dcm"));
	assert_file("1.2/1.2.3.4/1.2.2.v1.dcm", "ours");

	/* A log with unreadable lines: said, and more comes out, not less. */
	shell("sed -i 's/expunged/expunges/' %s/settle.log", spool);
	struct told t = salvage();

	assert_int_equal(t.whole, 3);
	assert_int_equal(t.problems, 1);
	assert_non_null(strstr(t.file, "settle.log"));
}

static void
test_11_damaged_ones_go_aside(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	struct told t;
	uint64_t own;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "flipped", false, &at);
	own = store_object(st, "1.2", "1.2.2", "cut off at the end", true, &at);
	store_close(st);
	shell("f=$(ls %s/segments/*.seg) && printf FLIPPED | dd of=$f bs=1 "
	    "seek=5120 conv=notrunc status=none", spool);
	shell("truncate -s 4103 %s/open/%016llx.obj", spool,
	    (unsigned long long)own);
	t = salvage();
	assert_int_equal(t.whole, 0);
	assert_int_equal(t.problems, 2);
	assert_file("damaged/1.2/1.2.3.4/1.2.1.v1.dcm", "FLIPPED");
	assert_file("damaged/1.2/1.2.3.4/1.2.2.v1.dcm", "cut off");
	assert_string_equal(t.problem, "cut off: 7 of 18 bytes are left");
	assert_false(is_there("1.2"));
}

static void
test_lost_heads(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	struct told t;
	uint64_t own, unfinished;
	struct store_own *o = NULL;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "one", false, &at);
	own = store_object(st, "1.2", "1.2.2", "bare bytes", true, &at);
	assert_int_equal(store_own_publish(st, own), 0);
	assert_int_equal(store_next_id(st, &unfinished), 0);
	assert_int_equal(store_own_create(st, unfinished, &o), 0);
	assert_int_equal(store_own_write(o, "half", 4), 0);
	shell("cp -a %s %s.copy", spool, spool);	/* as a crash leaves it */
	store_own_close(o, false);
	store_close(st);
	(void)snprintf(spool + strlen(spool), 8, ".copy");
	shell("printf X | dd of=%s/objects/%02x/%016llx.obj bs=1 seek=50 "
	    "conv=notrunc status=none", spool, (unsigned)(own & 0xff),
	    (unsigned long long)own);
	shell("f=$(ls %s/segments/*.seg) && printf X | dd of=$f bs=1 seek=9 "
	    "conv=notrunc status=none", spool);
	t = salvage();
	/* The segment's own head is not needed; a reception that never ended was
	 * promised to nobody; bytes without a head come out as they are. */
	assert_int_equal(t.whole, 1);
	assert_int_equal(t.problems, 1);
	assert_non_null(strstr(t.problem, "head cannot be read"));
	shell("grep -qa 'bare bytes' %s/damaged/%016llx.v1.raw", out,
	    (unsigned long long)own);
	assert_int_equal(salvage().problems, 1);
	shell("test $(find %s -type f | wc -l) = 2", out);
}

static void
test_without_SPOOL_and_without_writing(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "one", false, &at);
	(void)store_object(st, "1.2", "1.2.2", "two", true, &at);
	store_close(st);
	shell("cd %s && rm SPOOL lock && rm -r damaged && chmod -R a-w . && "
	    "find . -type f -exec cksum {} + >../before; find . >>../before",
	    spool);
	struct told t = salvage();

	assert_int_equal(t.whole, 2);
	assert_int_equal(t.problems, 1);	/* damaged/ is missing */
	shell("cd %s && { find . -type f -exec cksum {} +; find .; } | "
	    "cmp - ../before", spool);
	shell("chmod -R u+w %s", spool);
}

static void
test_a_daemon_may_run(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "one", false, &at);
	assert_int_equal(salvage().whole, 1);
	store_close(st);
}

static void
test_stale_generation_is_left_out(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at, first;
	uint64_t full, again, generation;
	bool removed;

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "old", false, &first);
	do
		(void)store_object(st, "1.2", "1.2.2", "filler", false, &at);
	while (at.segment == first.segment);
	assert_int_equal(store_next_full(st, &full, &generation), 0);
	store_sealed(st, full);
	assert_int_equal(store_recycle(st, full, 4, &removed), 0);
	/* Still free, and as it was: nobody says that it is gone. */
	assert_true(salvage().whole > 1);
	assert_file("1.2/1.2.3.4/1.2.1.v1.dcm", "old");
	/* Its head tells of a new life, in which nothing was written yet. */
	assert_int_equal(store_standby_prepare(st, &again, &generation), 0);
	assert_int_equal(again, full);
	store_close(st);
	shell("rm -r %s", out);
	(void)salvage();
	assert_false(is_there("1.2/1.2.3.4/1.2.1.v1.dcm"));
	assert_file("1.2/1.2.3.4/1.2.2.v1.dcm", "filler");
}

static void
test_full_output_ends_it(void **state)
{
	struct store *st = open_store(spool);
	struct buf why = BUF_INIT(4096);
	struct store_place at;
	struct told t = { 0 };

	(void)state;
	(void)store_object(st, "1.2", "1.2.1", "one", false, &at);
	(void)store_object(st, "1.2", "1.2.2", "two", false, &at);
	store_close(st);
	for (unsigned nth = 1; nth <= 4; nth++) {
		disk_fail(DISK_WRITE, nth, ENOSPC);
		disk.fail_ever = true;
		buf_clear(&why);
		assert_int_equal(spool_salvage(spool, out, note, &t, &why),
		    -ENOSPC);
		assert_non_null(strstr(why.data, out));
		disk_reset();
	}
	/* Nothing half-written has a name; the next run goes on. */
	t = salvage();
	assert_int_equal(t.whole, 2);
	assert_file("1.2/1.2.3.4/1.2.2.v1.dcm", "two");
	assert_false(is_there("1.2/1.2.3.4/1.2.1.v2.dcm"));
	buf_free(&why);
}

static void
test_no_spool_is_said(void **state)
{
	struct buf why = BUF_INIT(4096);
	struct told t = { 0 };

	(void)state;
	assert_int_equal(spool_salvage(tree, out, note, &t, &why), -ENOENT);
	assert_non_null(strstr(why.data, "no spool"));
	buf_clear(&why);
	assert_int_equal(spool_salvage("/nonexistent", out, note, &t, &why),
	    -ENOENT);
	assert_non_null(strstr(why.data, "/nonexistent"));
	buf_free(&why);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_tree, drop_tree)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_containers_come_out),
		TEST(test_versions_go_by_id_and_a_second_run_adds_nothing),
		TEST(test_nothing_is_overwritten),
		TEST(test_hostile_uids_stay_below_out),
		TEST(test_6_expunged_is_left_out),
		TEST(test_11_damaged_ones_go_aside),
		TEST(test_lost_heads),
		TEST(test_without_SPOOL_and_without_writing),
		TEST(test_a_daemon_may_run),
		TEST(test_stale_generation_is_left_out),
		TEST(test_full_output_ends_it),
		TEST(test_no_spool_is_said),
	};

	return cmocka_run_group_tests_name("spool salvage", tests, NULL, NULL);
}
