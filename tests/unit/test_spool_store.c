/* test_spool_store.c - segments and containers: what was synced is found, what was
 * not promised is never taken for it, whatever the disk does. The numbers are
 * those of the spool's invariants.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/faulty_disk.h"

#include "spool/settle_int.h"
#include "tests/unit/spool_files.h"

static char tree[64];
static char spool[80];

static int
make_tree(void **state)
{
	(void)state;
	disk_reset();
	disk_make_tree(tree);
	(void)snprintf(spool, sizeof(spool), "%s/spool", tree);
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

#define MAX_FOUND 256
struct found {
	uint64_t id[MAX_FOUND];
	struct store_place at[MAX_FOUND];
	bool whole[MAX_FOUND];
	size_t n;
};

static int
note_found(void *arg, const struct record *r, const struct store_place *at,
    bool whole)
{
	struct found *f = arg;

	assert_true(f->n < MAX_FOUND);
	f->id[f->n] = r->id;
	f->at[f->n] = *at;
	f->whole[f->n++] = whole;
	return 0;
}

struct all_segments {
	struct store_segment s[64];
	size_t n;
};

static int
note_segment(void *arg, const struct store_segment *s)
{
	struct all_segments *all = arg;

	assert_true(all->n < 64);
	all->s[all->n++] = *s;
	return 0;
}

static struct all_segments
segments_of(struct store *st)
{
	struct all_segments all = { .n = 0 };

	assert_int_equal(store_segments(st, note_segment, &all), 0);
	return all;
}

static struct store_segment
segment_of(struct store *st, uint64_t id)
{
	struct all_segments all = segments_of(st);

	for (size_t i = 0; i < all.n; i++) {
		if (all.s[i].id == id)
			return all.s[i];
	}
	fail_msg("no such segment");
	return all.s[0];
}

/* Everything, as a rebuild sees it. */
static struct found
scan_all(struct store *st, bool verify)
{
	struct all_segments all = segments_of(st);
	struct found f = { .n = 0 };

	for (size_t i = 0; i < all.n; i++)
		assert_int_equal(store_scan_segment(st, all.s[i].id, verify,
		    note_found, &f), 0);
	assert_int_equal(store_scan_own(st, false, verify, false, note_found,
	    &f), 0);
	return f;
}

static bool
is_found(const struct found *f, uint64_t id)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->id[i] == id && f->whole[i])
			return true;
	}
	return false;
}

static void
segment_path(uint64_t id, char ret[static 160])
{
	(void)snprintf(ret, 160, "%s/segments/%016llx.seg", spool,
	    (unsigned long long)id);
}

static void
scribble(const char *path, off_t at, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, at), len);
	(void)close(fd);
}

static bool
exists(const char *sub)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/%s", spool, sub);
	return access(path, F_OK) == 0;
}

static uint64_t
keep_object(struct store *st, size_t len, struct store_place *at)
{
	uint64_t id = 0;

	assert_int_equal(append_object(st, len, &id, at), 0);
	assert_int_equal(store_sync(st), 0);
	store_landed(st, at);
	return id;
}

/* Fills the current segment until it is FULL; returns its id. */
static uint64_t
fill_segment(struct store *st)
{
	struct store_place at;
	uint64_t first = 0;

	do {
		(void)keep_object(st, 15000, &at);
		if (first == 0)
			first = at.segment;
	} while (segment_of(st, first).state != SEGMENT_FULL);
	return first;
}

/* ---- opening ---- */

static void
test_layout_and_permissions(void **state)
{
	static const char *const folders[] = { ".", "segments", "open",
		"objects", "objects/00", "objects/ff", "damaged" };
	static const char *const files[] = { "SPOOL", "lock" };
	struct store *st = open_store(spool);
	char path[200];
	struct stat sb;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", spool, folders[i]);
		assert_int_equal(lstat(path, &sb), 0);
		assert_int_equal(sb.st_mode, S_IFDIR | 0700);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", spool, files[i]);
		assert_int_equal(lstat(path, &sb), 0);
		assert_int_equal(sb.st_mode, S_IFREG | 0600);
	}
	assert_int_equal(make_standby(st), 0);
	segment_path(segments_of(st).s[0].id, path);
	assert_int_equal(lstat(path, &sb), 0);
	assert_int_equal(sb.st_mode, S_IFREG | 0600);
	assert_int_equal(sb.st_size, SEGMENT_BYTES);
	store_close(st);
}

static void
test_10_one_daemon(void **state)
{
	struct store *st = open_store(spool), *second = NULL;
	struct buf why = BUF_INIT(4096);
	char pid[32];

	(void)state;
	assert_int_equal(store_open(spool, 0, 0, &second, &why), -EBUSY);
	assert_null(second);
	(void)snprintf(pid, sizeof(pid), "process %d)", (int)getpid());
	assert_non_null(strstr(why.data, pid));
	store_close(st);
	buf_clear(&why);
	assert_int_equal(store_open(spool, 0, 0, &second, &why), 0);
	store_close(second);
	buf_free(&why);
}

static void
test_identity_stays(void **state)
{
	struct store *st = open_store(spool);
	uint8_t uuid[SPOOL_UUID];

	(void)state;
	memcpy(uuid, store_uuid(st), SPOOL_UUID);
	store_close(st);
	st = open_store(spool);
	assert_memory_equal(uuid, store_uuid(st), SPOOL_UUID);
	assert_int_equal(store_segment_size(st), SEGMENT_BYTES);
	store_close(st);
}

static void
test_newer_format_is_refused(void **state)
{
	struct buf why = BUF_INIT(4096);
	struct store *st = NULL;
	char path[200];

	(void)state;
	store_close(open_store(spool));
	(void)snprintf(path, sizeof(path), "%s/SPOOL", spool);
	scribble(path, strlen("causeway-spool "), "2", 1);
	assert_int_equal(store_open(spool, 0, 0, &st, &why), -ENOTSUP);
	assert_non_null(strstr(why.data, "newer"));
	buf_free(&why);
}

/* An existing spool is opened without needing room. */
static void
test_opens_on_a_full_disk(void **state)
{
	struct buf why = BUF_INIT(4096);
	struct store *st = NULL;
	struct store_place at;
	uint64_t id = 0;

	(void)state;
	st = open_store(spool);
	id = keep_object(st, 1000, &at);
	store_close(st);
	for (int call = DISK_WRITE; call <= DISK_CREATE; call++) {
		if (call == DISK_SYNC)
			continue;
		disk_fail((enum disk_call)call, 1, ENOSPC);
		disk.fail_ever = true;
		assert_int_equal(store_open(spool, 0, 0, &st, &why), 0);
		assert_int_equal(check_object(st, id, &at), 0);
		if (call == DISK_WRITE)
			assert_int_equal(store_next_id(st, &id), -ENOSPC);
		store_close(st);
		disk_reset();
		id = 2;
		at.offset = RECORD_ALIGN;
	}
	buf_free(&why);
}

static void
test_ids_are_never_given_twice(void **state)
{
	uint64_t id, last = 0;
	struct store *st;

	(void)state;
	for (int run = 0; run < 3; run++) {
		st = open_store(spool);
		for (int i = 0; i < 10; i++) {
			assert_int_equal(store_next_id(st, &id), 0);
			assert_true(id > last);
			last = id;
		}
		store_close(st);
	}
	/* Across the floor, and when it cannot be raised. */
	st = open_store(spool);
	assert_int_equal(store_next_id(st, &id), 0);
	for (int i = 1; i < 1000000; i++)
		(void)store_next_id(st, &id);
	last = id;
	disk_fail(DISK_WRITE, 1, ENOSPC);
	assert_int_equal(store_next_id(st, &id), -ENOSPC);
	assert_int_equal(store_next_id(st, &id), 0);
	assert_int_equal(id, last + 1);
	store_close(st);
	st = open_store(spool);
	assert_int_equal(store_next_id(st, &last), 0);
	assert_true(last > id);
	store_close(st);
}

static void
test_node_is_the_high_byte(void **state)
{
	struct buf why = BUF_INIT(4096);
	struct store *st = NULL;
	uint64_t id = 0;

	(void)state;
	assert_int_equal(store_open(spool, 0x7f, SEGMENT_BYTES, &st, &why), 0);
	assert_int_equal(store_next_id(st, &id), 0);
	assert_int_equal(id >> 56, 0x7f);
	store_close(st);
	buf_free(&why);
}

static void
test_lost_SPOOL_is_made_anew(void **state)
{
	static const char *const how[] = { "gone", "empty", "damaged" };
	struct store *st = open_store(spool);
	uint8_t uuid[SPOOL_UUID];
	uint64_t id, own, next, segment_id, last;
	struct store_place at, none = { 0, 0 };
	char path[200];

	(void)state;
	memcpy(uuid, store_uuid(st), SPOOL_UUID);
	id = keep_object(st, 5000, &at);
	assert_int_equal(write_own(st, 300000, &own), 0);
	last = own;
	store_close(st);
	(void)snprintf(path, sizeof(path), "%s/SPOOL", spool);
	for (size_t i = 0; i < ARRAY_LEN(how); i++) {
		if (i == 0)
			assert_int_equal(unlink(path), 0);
		else if (i == 1)
			assert_int_equal(truncate(path, 0), 0);
		else
			scribble(path, 70, "f", 1);
		st = open_store(spool);
		assert_memory_equal(uuid, store_uuid(st), SPOOL_UUID);
		assert_int_equal(check_object(st, id, &at), 0);
		assert_int_equal(check_object(st, own, &none), 0);
		assert_int_equal(store_next_id(st, &next), 0);
		assert_true(next > last);
		last = next;
		store_close(st);
	}
	/* The head of an own container is enough, and so is a record's. */
	segment_path(at.segment, path);
	scribble(path, 0, "XXXX", 4);
	(void)snprintf(path, sizeof(path), "%s/open/%016llx.obj", spool,
	    (unsigned long long)own);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/SPOOL", spool);
	assert_int_equal(unlink(path), 0);
	st = open_store(spool);
	assert_memory_equal(uuid, store_uuid(st), SPOOL_UUID);
	segment_id = segments_of(st).s[0].id;
	assert_int_equal(store_segment_known(st, segment_id, 1, SEGMENT_SEALED),
	    0);
	assert_int_equal(check_object(st, id, &at), 0);
	store_close(st);
}

static void
test_two_spools_in_one_are_refused(void **state)
{
	struct buf why = BUF_INIT(4096);
	struct store *st;
	char other[96], from[200], to[200];
	struct store_place at;
	uint64_t id = 0;

	(void)state;
	st = open_store(spool);
	(void)keep_object(st, 100, &at);
	store_close(st);
	(void)snprintf(other, sizeof(other), "%s/other", tree);
	st = open_store(other);
	for (int i = 0; i < 10; i++)	/* other ids than there */
		assert_int_equal(store_next_id(st, &id), 0);
	(void)keep_object(st, 100, &at);
	store_close(st);
	(void)snprintf(from, sizeof(from), "%s/segments/%016llx.seg", other,
	    (unsigned long long)at.segment);
	segment_path(at.segment, to);
	assert_int_equal(rename(from, to), 0);
	/* With SPOOL there: it is a foreign file, and left alone. */
	st = open_store(spool);
	assert_int_equal(segments_of(st).n, 1);
	store_close(st);
	assert_int_equal(access(to, F_OK), 0);
	/* Without it nobody knows which one we are. */
	(void)snprintf(from, sizeof(from), "%s/SPOOL", spool);
	assert_int_equal(unlink(from), 0);
	assert_int_equal(store_open(spool, 0, 0, &st, &why), -EUCLEAN);
	assert_non_null(strstr(why.data, "more than one spool"));
	buf_free(&why);
}

static void
test_3_foreign_files_are_left_alone(void **state)
{
	static const char *const names[] = { "segments/README",
		"segments/0000000000000001.seg~", "open/core",
		"open/000000000000000Z.obj", "objects/00/x", "objects/zz",
		"damaged/note.txt", "notes" };
	struct store *st = open_store(spool);
	char path[200];
	struct found f;
	FILE *file;

	(void)state;
	store_close(st);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", spool, names[i]);
		file = fopen(path, "w");
		assert_non_null(file);
		(void)fputs("hello", file);
		(void)fclose(file);
	}
	st = open_store(spool);
	f = (struct found) { .n = 0 };
	assert_int_equal(store_scan_own(st, false, true, true, note_found, &f),
	    0);
	assert_int_equal(f.n, 0);
	assert_int_equal(segments_of(st).n, 0);
	store_close(st);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(exists(names[i]));
}

static void
test_links_and_fifos_are_not_followed(void **state)
{
	struct store_place none = { 0, 0 };
	struct store *st = open_store(spool);
	char path[200], target[200];
	struct found f = { .n = 0 };
	FILE *file;

	(void)state;
	store_close(st);
	(void)snprintf(target, sizeof(target), "%s/precious", tree);
	file = fopen(target, "w");
	assert_non_null(file);
	(void)fclose(file);
	(void)snprintf(path, sizeof(path), "%s/open/0000000000000001.obj", spool);
	assert_int_equal(symlink(target, path), 0);
	(void)snprintf(path, sizeof(path), "%s/open/0000000000000002.obj", spool);
	assert_int_equal(mkfifo(path, 0600), 0);
	segment_path(3, path);
	assert_int_equal(symlink(target, path), 0);
	segment_path(4, path);
	assert_int_equal(mkfifo(path, 0600), 0);

	st = open_store(spool);
	assert_int_equal(segments_of(st).n, 0);
	assert_int_equal(store_scan_own(st, true, true, true, note_found, &f), 0);
	assert_int_equal(f.n, 0);
	assert_int_equal(check_object(st, 1, &none), -ELOOP);
	assert_int_equal(check_object(st, 2, &none), -ELOOP);
	store_close(st);
	assert_int_equal(access(target, F_OK), 0);
	assert_true(exists("open/0000000000000002.obj"));
	/* A folder that is a link is none of ours. */
	(void)snprintf(path, sizeof(path), "%s/damaged", spool);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink(tree, path), 0);
	struct buf why = BUF_INIT(4096);

	assert_true(store_open(spool, 0, 0, &st, &why) < 0);
	buf_free(&why);
}

/* ---- segments ---- */

static void
test_append_and_read(void **state)
{
	static const size_t sizes[] = { 0, 1, 3071, 3072, 3073, 15360 };
	struct store *st = open_store(spool);
	struct store_place at[ARRAY_LEN(sizes)];
	uint64_t id[ARRAY_LEN(sizes)];
	struct found f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		id[i] = keep_object(st, sizes[i], &at[i]);
		assert_int_equal(at[i].offset % RECORD_ALIGN, 0);
	}
	for (int run = 0; run < 2; run++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			assert_int_equal(check_object(st, id[i], &at[i]), 0);
		f = scan_all(st, true);
		assert_int_equal(f.n, ARRAY_LEN(sizes));
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			assert_int_equal(f.id[i], id[i]);
			assert_int_equal(f.at[i].offset, at[i].offset);
			assert_true(f.whole[i]);
		}
		store_close(st);
		st = open_store(spool);
	}
	store_close(st);
}

static void
test_too_large_for_a_segment(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	uint64_t generation;

	(void)state;
	assert_int_equal(store_record_max(st), SEGMENT_BYTES / 4);
	assert_int_equal(store_reserve(st, store_record_max(st) + 1, 0, &at,
	    &generation), -EMSGSIZE);
	store_close(st);
}

static void
test_without_standby_it_waits_and_then_refuses(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	uint64_t generation;
	int64_t begin = clock_mono_ms();

	(void)state;
	assert_int_equal(store_reserve(st, 5000, begin + 50, &at, &generation),
	    -ENOSPC);
	assert_true(clock_mono_ms() - begin >= 49);
	store_close(st);
}

static void *
ready_later(void *arg)
{
	struct store *st = arg;
	uint64_t segment, generation;

	/* Not ready until the index knows: waiting goes on. */
	assert_int_equal(store_standby_prepare(st, &segment, &generation), 0);
	store_standby_ready(st, segment);
	return NULL;
}

static void
test_a_standby_wakes_who_waits(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	uint64_t generation;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, ready_later, st), 0);
	assert_int_equal(store_reserve(st, 5000, clock_mono_ms() + 10000, &at,
	    &generation), 0);
	assert_int_equal(generation, 1);
	assert_int_equal(at.offset, RECORD_ALIGN);
	(void)pthread_join(thread, NULL);
	store_landed(st, &at);
	store_close(st);
}

static void
test_prepared_is_not_standby(void **state)
{
	struct store *st = open_store(spool);
	uint64_t segment, again, generation, generation2;
	struct store_place at;

	(void)state;
	assert_int_equal(store_standby_prepare(st, &segment, &generation), 0);
	assert_true(store_wants_standby(st));
	assert_int_equal(store_reserve(st, 5000, 0, &at, &generation), -ENOSPC);
	/* The index did not take it: the next attempt offers the same one. */
	assert_int_equal(store_standby_prepare(st, &again, &generation2), 0);
	assert_int_equal(again, segment);
	assert_int_equal(generation2, 1);
	store_standby_ready(st, segment);
	assert_false(store_wants_standby(st));
	store_close(st);
}

static void
test_hole_is_stepped_over(void **state)
{
	struct store *st = open_store(spool);
	struct store_place a, hole, b, hole2, c;
	uint64_t first, second, third, generation;
	struct found f;

	(void)state;
	first = keep_object(st, 100, &a);
	/* Two places whose writes never come, between and behind. */
	assert_int_equal(store_reserve(st, 9000, 0, &hole, &generation), 0);
	second = keep_object(st, 5000, &b);
	assert_int_equal(store_reserve(st, 9000, 0, &hole2, &generation), 0);
	third = keep_object(st, 2000, &c);
	assert_true(hole.offset < b.offset && hole2.offset < c.offset);
	store_landed(st, &hole);
	store_landed(st, &hole2);
	f = scan_all(st, true);
	assert_int_equal(f.n, 3);
	assert_true(is_found(&f, first) && is_found(&f, second) &&
	    is_found(&f, third));
	store_close(st);
}

/* Bytes of an object never pose as a record, even with our seal on them. */
static void
test_record_inside_a_record_is_none(void **state)
{
	struct store *st = open_store(spool);
	uint8_t data[12288];
	struct iovec iov = { data, sizeof(data) };
	struct record rec, forged;
	struct store_place at, behind;
	uint64_t id, last;
	struct found f;

	(void)state;
	assert_int_equal(make_standby(st), 0);
	assert_int_equal(store_next_id(st, &id), 0);
	assert_int_equal(store_reserve(st, RECORD_HEAD + sizeof(data), 0, &at,
	    &rec.generation), 0);
	memset(data, 0, sizeof(data));
	forged = object_record(4711, data, 100);
	forged.segment = at.segment;
	forged.generation = 1;
	record_encode(&forged, store_uuid(st), data + 3072);
	record_encode(&forged, store_uuid(st), data + 3072 + 4096);
	rec = object_record(id, data, sizeof(data));
	rec.segment = at.segment;
	rec.generation = 1;
	assert_int_equal(store_append(st, &at, &rec, &iov, 1), 0);
	store_landed(st, &at);
	last = keep_object(st, 100, &behind);
	f = scan_all(st, true);
	assert_int_equal(f.n, 2);
	assert_true(is_found(&f, id) && is_found(&f, last));
	store_close(st);
}

/* Recycles one full segment with rows all gone. */
static void
recycle(struct store *st, uint64_t segment)
{
	bool removed = true;
	uint64_t full, generation;

	if (segment_of(st, segment).state == SEGMENT_FULL) {
		assert_int_equal(store_next_full(st, &full, &generation), 0);
		assert_int_equal(full, segment);
		store_sealed(st, segment);
	}
	assert_int_equal(store_recycle(st, segment, 10, &removed), 0);
	assert_false(removed);
	assert_int_equal(segment_of(st, segment).state, SEGMENT_FREE);
}

static void
test_stale_generation_is_no_record(void **state)
{
	struct store *st = open_store(spool);
	uint64_t segment = fill_segment(st), id, generation, next;
	struct store_place at, late;
	struct found before = { .n = 0 }, f = { .n = 0 };

	(void)state;
	assert_int_equal(store_scan_segment(st, segment, true, note_found,
	    &before), 0);
	assert_int_equal(before.n, 3);
	recycle(st, segment);
	/* Whoever comes late: the bytes are gone, not damaged. */
	assert_int_equal(check_object(st, before.id[0], &before.at[0]), -ENOENT);
	/* The one after the current is the recycled one, in its second life. */
	(void)fill_segment(st);
	while (segment_of(st, segment).state != SEGMENT_CURRENT)
		(void)fill_segment(st);
	assert_int_equal(segment_of(st, segment).generation, 2);
	id = before.id[2];
	late = before.at[2];
	assert_int_equal(check_object(st, id, &late), -ENOENT);
	assert_int_equal(store_scan_segment(st, segment, true, note_found, &f),
	    0);
	for (size_t i = 0; i < f.n; i++)
		assert_true(f.id[i] > id);
	/* A hole over old records shows none of them. */
	assert_int_equal(store_reserve(st, 15000, 0, &at, &generation), 0);
	assert_int_equal(at.segment, segment);
	assert_int_equal(generation, 2);
	next = keep_object(st, 100, &late);
	f.n = 0;
	assert_int_equal(store_scan_segment(st, segment, true, note_found, &f),
	    0);
	assert_true(is_found(&f, next) == (late.segment == segment));
	for (size_t i = 0; i < f.n; i++)
		assert_true(f.id[i] > id && f.whole[i]);
	store_landed(st, &at);
	store_close(st);
}

static void
test_segment_head_lost_highest_generation_counts(void **state)
{
	struct store *st = open_store(spool);
	uint64_t segment = fill_segment(st), id;
	struct store_place at = { 0, 0 };
	struct found f = { .n = 0 };
	char path[200];

	(void)state;
	recycle(st, segment);
	id = 0;
	while (at.segment != segment)
		id = keep_object(st, 100, &at);
	store_close(st);
	segment_path(segment, path);
	scribble(path, 33, "\xff", 1);

	st = open_store(spool);
	f = scan_all(st, true);
	assert_true(is_found(&f, id));
	f.n = 0;
	assert_int_equal(store_scan_segment(st, segment, true, note_found, &f),
	    0);
	assert_int_equal(f.n, 1);	/* the two old ones behind it are stale */
	assert_int_equal(check_object(st, id, &at), 0);
	/* Never written to again: recycling removes it. */
	assert_int_equal(store_segment_known(st, segment, 2, SEGMENT_SEALED), 0);
	bool removed = false;

	assert_int_equal(store_recycle(st, segment, 10, &removed), 0);
	assert_true(removed);
	assert_int_equal(access(path, F_OK), -1);
	store_close(st);
}

static void
test_every_block_damaged_in_turn(void **state)
{
	struct store *st = open_store(spool);
	uint64_t id[16], segment;
	struct store_place at[16];
	uint8_t junk[RECORD_ALIGN], old[RECORD_ALIGN];
	char path[200];
	size_t n = 0;
	int fd;

	(void)state;
	do
		id[n] = keep_object(st, 1000 + 4000 * (n % 3), &at[n]);
	while (at[n].segment == at[0].segment && ++n < 16);
	segment = at[0].segment;
	store_close(st);
	assert_true(n >= 6);
	segment_path(segment, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	memset(junk, 0xa5, sizeof(junk));
	for (off_t block = 0; block < SEGMENT_BYTES; block += RECORD_ALIGN) {
		struct found f;

		assert_int_equal(pread(fd, old, sizeof(old), block), 4096);
		assert_int_equal(pwrite(fd, junk, sizeof(junk), block), 4096);
		st = open_store(spool);
		f = (struct found) { .n = 0 };
		assert_int_equal(store_scan_segment(st, segment, true,
		    note_found, &f), 0);
		for (size_t i = 0; i < n; i++) {
			off_t begin = (off_t)at[i].offset;
			off_t end = begin + (off_t)record_extent(1000 +
			    4000 * (i % 3));
			bool hit = block >= begin && block < end;

			/* One bad block hurts one record. */
			assert_int_equal(is_found(&f, id[i]), !hit);
			if (!hit)
				assert_int_equal(check_object(st, id[i], &at[i]),
				    0);
			else if (block == begin)
				assert_int_equal(check_object(st, id[i], &at[i]),
				    -EUCLEAN);
		}
		store_close(st);
		assert_int_equal(pwrite(fd, old, sizeof(old), block), 4096);
	}
	(void)close(fd);
}

static void
test_unreadable_block_hurts_one_record(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at[3];
	uint64_t id[3];
	struct found f;

	(void)state;
	for (int i = 0; i < 3; i++)
		id[i] = keep_object(st, 5000, &at[i]);
	disk.fail_block = (unsigned)(at[1].offset / 4096) + 1;
	f = scan_all(st, true);
	assert_true(is_found(&f, id[0]) && is_found(&f, id[2]));
	assert_false(is_found(&f, id[1]));
	assert_int_equal(check_object(st, id[1], &at[1]), -EUCLEAN);
	disk.fail_block++;
	assert_int_equal(check_object(st, id[1], &at[1]), -EUCLEAN);
	disk_reset();
	assert_int_equal(check_object(st, id[1], &at[1]), 0);
	store_close(st);
}

static void
test_truncated_segment_at_every_block(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at[3];
	uint64_t id[3];
	char path[200];

	(void)state;
	for (int i = 0; i < 3; i++)
		id[i] = keep_object(st, 5000, &at[i]);
	store_close(st);
	segment_path(at[0].segment, path);
	for (off_t size = 40960; size >= 0; size -= 1024) {
		struct found f = { .n = 0 };

		assert_int_equal(truncate(path, size), 0);
		st = open_store(spool);
		f = scan_all(st, size % 2048 == 0);
		for (int i = 0; i < 3; i++) {
			bool all = (off_t)at[i].offset + 1024 + 5000 <= size;

			assert_int_equal(is_found(&f, id[i]), all);
			assert_int_equal(check_object(st, id[i], &at[i]),
			    all ? 0 : -EUCLEAN);
		}
		/* It is not taken into use again. */
		assert_int_equal(store_segment_known(st, at[0].segment, 1,
		    SEGMENT_FREE), 0);
		uint64_t segment, generation;

		assert_int_equal(store_standby_prepare(st, &segment,
		    &generation), 0);
		assert_true(segment != at[0].segment);
		store_close(st);
		char made[200];

		segment_path(segment, made);
		assert_int_equal(unlink(made), 0);
	}
}

static void
test_states_and_sealing(void **state)
{
	struct store *st = open_store(spool);
	struct store_place held, at;
	uint64_t id, full, generation, segment;

	(void)state;
	assert_int_equal(store_next_full(st, &full, &generation), -ENOENT);
	assert_int_equal(append_object(st, 100, &id, &held), 0);
	assert_int_equal(segment_of(st, held.segment).state, SEGMENT_CURRENT);
	do
		(void)keep_object(st, 15000, &at);
	while (at.segment == held.segment);
	/* Full, but a commit is still in flight. */
	assert_int_equal(segment_of(st, held.segment).state, SEGMENT_FULL);
	assert_int_equal(store_next_full(st, &full, &generation), -ENOENT);
	store_landed(st, &held);
	assert_int_equal(store_next_full(st, &full, &generation), 0);
	assert_int_equal(full, held.segment);
	assert_int_equal(generation, 1);
	store_sealed(st, full);
	assert_int_equal(store_next_full(st, &segment, &generation), -ENOENT);
	assert_int_equal(check_object(st, id, &held), 0);
	store_close(st);
}

static void
test_small_ones_still_fit_without_a_standby(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at, big;
	uint64_t generation;

	(void)state;
	assert_int_equal(make_standby(st), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(store_reserve(st, 16384, 0, &big, &generation),
		    0);
		store_landed(st, &big);
	}
	/* 3 blocks are left. */
	assert_int_equal(store_reserve(st, 16384, 0, &big, &generation), -ENOSPC);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(store_reserve(st, 2000, 0, &at, &generation), 0);
		store_landed(st, &at);
	}
	assert_int_equal(store_free_bytes(st), 0);
	store_close(st);
}

static void
test_known_segments_at_start(void **state)
{
	struct store *st = open_store(spool);
	uint64_t segment = fill_segment(st);

	(void)state;
	store_close(st);
	st = open_store(spool);
	/* Nobody told of it: FULL. The index knows another generation: FULL. */
	assert_int_equal(segment_of(st, segment).state, SEGMENT_FULL);
	assert_int_equal(store_segment_known(st, segment, 7, SEGMENT_SEALED), 0);
	assert_int_equal(segment_of(st, segment).state, SEGMENT_FULL);
	assert_int_equal(store_segment_known(st, segment, 1, SEGMENT_CURRENT), 0);
	assert_int_equal(segment_of(st, segment).state, SEGMENT_FULL);
	assert_int_equal(store_segment_known(st, segment, 1, SEGMENT_SEALED), 0);
	assert_int_equal(segment_of(st, segment).state, SEGMENT_SEALED);
	assert_int_equal(store_segment_known(st, 12345, 1, SEGMENT_SEALED),
	    -ENOENT);
	store_close(st);
}

static void
test_6_pins_keep_a_segment(void **state)
{
	struct store *st = open_store(spool);
	struct store_reader *rd = NULL;
	uint64_t segment, full, generation, offset;
	struct found f = { .n = 0 };
	struct record rec;
	uint8_t data[15000], want[15000];
	bool removed;
	int fd;

	(void)state;
	segment = fill_segment(st);
	assert_int_equal(store_scan_segment(st, segment, true, note_found, &f),
	    0);
	assert_int_equal(store_next_full(st, &full, &generation), 0);
	store_sealed(st, full);
	assert_int_equal(store_reader_open(st, f.id[1], &f.at[1], &rd, &rec), 0);
	assert_int_equal(segment_of(st, segment).pins, 1);
	assert_int_equal(store_recycle(st, segment, 4, &removed), -EBUSY);
	assert_int_equal(store_reader_read(rd, 0, data, 7000), 7000);
	assert_int_equal(store_recycle(st, segment, 4, &removed), -EBUSY);
	assert_int_equal(store_reader_read(rd, 7000, data + 7000, 9000), 8000);
	assert_int_equal(store_reader_read(rd, 15000, data, 10), 0);
	object_bytes(f.id[1], want, sizeof(want));
	assert_memory_equal(data, want, sizeof(want));
	fd = store_reader_fd(rd, &offset);
	assert_int_equal(pread(fd, data, 100, (off_t)offset), 100);
	assert_memory_equal(data, want, 100);
	store_reader_close(rd);
	assert_int_equal(store_recycle(st, segment, 4, &removed), 0);
	assert_int_equal(store_recycle(st, 999, 4, &removed), -ENOENT);
	store_close(st);
}

static void
test_recycling_above_the_limit_removes(void **state)
{
	struct store *st = open_store(spool);
	uint64_t a = fill_segment(st), b = fill_segment(st), full, generation;
	bool removed = false;
	char path[200];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_next_full(st, &full, &generation), 0);
		store_sealed(st, full);
	}
	assert_int_equal(store_recycle(st, a, 1, &removed), 0);
	assert_false(removed);
	assert_int_equal(store_recycle(st, b, 1, &removed), 0);
	assert_true(removed);
	segment_path(b, path);
	assert_int_equal(access(path, F_OK), -1);
	segment_path(a, path);
	assert_int_equal(access(path, F_OK), 0);
	store_close(st);
}

static void
test_wipe_takes_one_record(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at[3];
	uint64_t id[3];
	uint8_t data[SEGMENT_BYTES], want[5000];
	struct found f;
	char path[200];
	int fd;

	(void)state;
	for (int i = 0; i < 3; i++)
		id[i] = keep_object(st, 5000, &at[i]);
	assert_int_equal(store_wipe(st, id[0], &at[1], 5000), -EUCLEAN);
	assert_int_equal(store_wipe(st, id[1], &at[1], 5000), 0);
	assert_int_equal(store_wipe(st, id[1], &at[1], 5000), 0);	/* again */
	f = scan_all(st, true);
	assert_int_equal(f.n, 2);
	assert_true(is_found(&f, id[0]) && is_found(&f, id[2]));
	assert_int_equal(check_object(st, id[1], &at[1]), -EUCLEAN);
	segment_path(at[0].segment, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, data, sizeof(data), 0), sizeof(data));
	(void)close(fd);
	object_bytes(id[1], want, sizeof(want));
	assert_null(memmem(data, sizeof(data), want, 16));
	assert_null(memmem(data, sizeof(data), want + 4900, 16));
	/* Beyond the file, and of no segment. */
	at[1].offset = SEGMENT_BYTES - 4096;
	assert_int_equal(store_wipe(st, id[1], &at[1], 5000), -EUCLEAN);
	at[1].segment = 4711;
	assert_int_equal(store_wipe(st, id[1], &at[1], 5000), -ENOENT);
	store_close(st);
}

/* ---- syncs and errors ---- */

static void
test_one_sync_for_all(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at;
	uint64_t id = 0;

	(void)state;
	assert_int_equal(make_standby(st), 0);
	disk_fail(DISK_SYNC, 0, 0);
	disk.count[DISK_WRITE] = 0;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(append_object(st, 1000, &id, &at), 0);
		store_landed(st, &at);
		if (i == 0) {
			/* The first took the standby and made another. */
			disk.count[DISK_SYNC] = disk.count[DISK_WRITE] = 0;
		}
	}
	disk.count[DISK_SYNC] = 0;
	assert_int_equal(store_sync(st), 0);
	assert_int_equal(disk.count[DISK_SYNC], 1);
	assert_int_equal(store_sync(st), 0);
	assert_int_equal(disk.count[DISK_SYNC], 1);	/* nothing new */
	store_close(st);
}

static void
test_7_failed_sync_is_final(void **state)
{
	struct store *st = open_store(spool);
	struct store_own *o = NULL;
	struct store_place at;
	uint64_t id, segment, generation;

	(void)state;
	assert_int_equal(append_object(st, 1000, &id, &at), 0);
	disk_fail(DISK_SYNC, 1, EIO);
	assert_int_equal(store_sync(st), -EIO);
	disk_reset();
	/* The page cache may show what the disk has not: no retry, no more. */
	assert_int_equal(store_sync(st), -EIO);
	assert_int_equal(store_reserve(st, 2000, CLOCK_NEVER, &at, &generation),
	    -EIO);
	assert_int_equal(store_own_create(st, id, &o), -EIO);
	assert_int_equal(store_standby_prepare(st, &segment, &generation), -EIO);
	store_landed(st, &at);
	store_close(st);
}

static void *
wait_for_room(void *arg)
{
	struct store_place at;
	uint64_t generation;

	return (void *)(intptr_t)store_reserve(arg, 5000, CLOCK_NEVER, &at,
	    &generation);
}

static void
test_7_who_waits_hears_of_it(void **state)
{
	struct store *st = open_store(spool);
	struct store_own *o = NULL;
	pthread_t thread;
	struct record rec;
	uint64_t id = 0;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_room, st), 0);
	assert_int_equal(store_next_id(st, &id), 0);
	assert_int_equal(store_own_create(st, id, &o), 0);
	rec = object_record(id, (const uint8_t *)"", 0);
	assert_int_equal(store_own_finish(o, &rec), 0);
	disk_fail(DISK_SYNC, 1, EIO);
	assert_int_equal(store_sync(st), -EIO);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, -EIO);
	store_own_close(o, false);
	store_close(st);
}

/* Every write, sync and allocation of making a segment fails in turn: there is
 * none then, and no trace. */
static void
test_standby_fails_at_every_step(void **state)
{
	static const enum disk_call calls[] = { DISK_CREATE, DISK_ALLOCATE,
		DISK_WRITE, DISK_SYNC, DISK_SYNC };
	static const unsigned nth[] = { 1, 1, 1, 1, 2 };
	static const int errors[] = { ENOSPC, EIO };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
			struct store *st = open_store(spool);
			uint64_t segment = 0, generation, id;

			assert_int_equal(store_next_id(st, &id), 0);
			disk_fail(calls[i], nth[i], errors[e]);
			assert_int_equal(store_standby_prepare(st, &segment,
			    &generation), -errors[e]);
			disk_reset();
			assert_int_equal(segment, 0);
			assert_int_equal(segments_of(st).n, 0);
			assert_true(store_wants_standby(st));
			if (errors[e] == ENOSPC)
				assert_int_equal(store_standby_prepare(st,
				    &segment, &generation), 0);
			store_close(st);
			drop_tree(NULL);
			make_tree(NULL);
		}
	}
}

static void
test_taking_again_fails_at_every_step(void **state)
{
	static const enum disk_call calls[] = { DISK_WRITE, DISK_SYNC };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		struct store *st = open_store(spool);
		uint64_t segment = fill_segment(st), other, generation;
		char path[200];

		recycle(st, segment);
		disk_fail(calls[i], 1, EIO);
		assert_int_equal(store_standby_prepare(st, &other, &generation),
		    -EIO);
		disk_reset();
		assert_int_equal(segment_of(st, segment).state, SEGMENT_FREE);
		store_close(st);
		segment_path(segment, path);
		assert_int_equal(access(path, F_OK), 0);
		drop_tree(NULL);
		make_tree(NULL);
	}
}

static void
test_failed_append_is_a_hole(void **state)
{
	struct store *st = open_store(spool);
	struct store_place at, next;
	uint64_t id, failed, generation;
	struct found f;

	(void)state;
	(void)keep_object(st, 1000, &at);
	for (size_t part = 0; part <= 6000; part += 1000) {
		if (store_wants_standby(st))
			assert_int_equal(make_standby(st), 0);
		disk_fail(DISK_WRITE, 1, EIO);
		disk.fail_written = part;
		assert_int_equal(append_object(st, 5000, &failed, &at), -EIO);
		disk_reset();
		id = keep_object(st, 100, &next);
		f = scan_all(st, true);
		assert_true(is_found(&f, id));
		assert_false(is_found(&f, failed));
	}
	/* And it is sealed with holes in it. */
	(void)fill_segment(st);
	assert_int_equal(store_next_full(st, &id, &generation), 0);
	store_close(st);
}

/* ---- containers of their own ---- */

static void
test_own_write_finish_publish_remove(void **state)
{
	static const size_t sizes[] = { 0, 1, 262143, 262144, 262145, 9000001 };
	struct store_place none = { 0, 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct store *st = open_store(spool);
		char open_name[64], name[64], path[200];
		struct stat sb;
		uint64_t id = 0;

		assert_int_equal(write_own(st, sizes[i], &id), 0);
		assert_int_equal(store_sync(st), 0);
		(void)snprintf(open_name, sizeof(open_name), "open/%016llx.obj",
		    (unsigned long long)id);
		(void)snprintf(name, sizeof(name), "objects/%02x/%016llx.obj",
		    (unsigned)(id & 0xff), (unsigned long long)id);
		assert_int_equal(check_object(st, id, &none), 0);
		assert_true(exists(open_name));
		assert_int_equal(store_own_publish(st, id), 0);
		assert_int_equal(store_own_publish(st, id), -ENOENT);
		assert_true(exists(name) && !exists(open_name));
		assert_int_equal(check_object(st, id, &none), 0);
		(void)snprintf(path, sizeof(path), "%s/%s", spool, name);
		assert_int_equal(stat(path, &sb), 0);
		assert_int_equal(sb.st_size, RECORD_ALIGN + sizes[i]);
		assert_int_equal(sb.st_mode & 0777, 0600);
		/* What was claimed ahead is given back. */
		assert_true((uint64_t)sb.st_blocks * 512 < sizes[i] + 65536);
		assert_int_equal(store_own_remove(st, id), 0);
		assert_int_equal(store_own_remove(st, id), 0);
		assert_int_equal(check_object(st, id, &none), -ENOENT);
		store_close(st);
	}
}

static void
test_own_reads_back_while_it_is_written(void **state)
{
	struct store *st = open_store(spool);
	uint8_t want[100000], data[100000];
	struct store_own *o = NULL;
	uint64_t id = 0;

	(void)state;
	assert_int_equal(store_next_id(st, &id), 0);
	assert_int_equal(store_own_create(st, id, &o), 0);
	object_bytes(7, want, sizeof(want));
	assert_int_equal(store_own_write(o, want, 60000), 0);
	assert_int_equal(store_own_read(o, 0, data, 60000), 0);
	assert_memory_equal(data, want, 60000);
	assert_int_equal(store_own_read(o, 59999, data, 2), -EINVAL);
	assert_int_equal(store_own_write(o, want + 60000, 40000), 0);
	assert_int_equal(store_own_length(o), 100000);
	assert_int_equal(store_own_read(o, 50000, data, 50000), 0);
	assert_memory_equal(data, want + 50000, 50000);
	store_own_close(o, true);	/* not finished: gone all the same */
	assert_false(exists("open/0000000000000001.obj"));
	store_close(st);
}

static void
test_own_fails_at_every_call(void **state)
{
	static const struct {
		enum disk_call call;
		int error;
	} cases[] = {
		{ DISK_CREATE, ENOSPC }, { DISK_WRITE, ENOSPC },
		{ DISK_WRITE, EIO }, { DISK_ALLOCATE, ENOSPC },
		{ DISK_TRUNCATE, EIO }, { DISK_SYNC, EIO },
	};
	struct store *st = open_store(spool);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (unsigned nth = 1;; nth++) {
			struct found f = { .n = 0 };
			uint64_t id = 0;
			int r;

			disk_fail(cases[i].call, nth, cases[i].error);
			disk.fail_ever = cases[i].error == ENOSPC;
			disk.fail_written = 4096;
			r = write_own(st, 1000000, &id);
			if (disk.count[cases[i].call] < nth) {
				assert_int_equal(r, 0);
				assert_true(nth > 1);
				disk_reset();
				assert_int_equal(store_own_remove(st, id), 0);
				break;
			}
			disk_reset();
			assert_int_equal(r, -cases[i].error);
			assert_int_equal(store_scan_own(st, false, true, false,
			    note_found, &f), 0);
			assert_int_equal(f.n, 0);
		}
	}
	store_close(st);
}

/* Near the end of the disk a whole chunk is more than is needed. */
static void
test_own_takes_the_last_room(void **state)
{
	struct store_place none = { 0, 0 };
	struct store *st = open_store(spool);
	uint64_t id = 0;

	(void)state;
	assert_int_equal(store_next_id(st, &id), 0);
	disk_fail(DISK_ALLOCATE, 1, ENOSPC);
	assert_int_equal(write_own(st, 1000000, &id), 0);
	assert_int_equal(check_object(st, id, &none), 0);
	store_close(st);
}

static void
test_own_error_stays(void **state)
{
	struct store *st = open_store(spool);
	AUTO_FREE uint8_t *data = xcalloc(1, 300000);
	struct store_own *o = NULL;
	struct record rec;
	uint64_t id = 0;

	(void)state;
	assert_int_equal(store_next_id(st, &id), 0);
	assert_int_equal(store_own_create(st, id, &o), 0);
	disk_fail(DISK_WRITE, 1, ENOSPC);
	assert_int_equal(store_own_write(o, data, 300000), -ENOSPC);
	disk_reset();
	assert_int_equal(store_own_write(o, data, 300000), -ENOSPC);
	rec = object_record(id, data, store_own_length(o));
	assert_int_equal(store_own_finish(o, &rec), -ENOSPC);
	store_own_close(o, true);
	assert_int_equal(store_own_remove(st, id), 0);
	store_close(st);
}

static void
test_own_unfinished_and_short_files(void **state)
{
	struct store_place none = { 0, 0 };
	struct store *st = open_store(spool);
	struct found f = { .n = 0 };
	uint64_t id = 0;
	char path[200], lost[200];
	FILE *file;

	(void)state;
	assert_int_equal(write_own(st, 100000, &id), 0);
	store_close(st);
	/* A reception that was cut short, of which only bytes are there. */
	(void)snprintf(lost, sizeof(lost), "%s/open/0000000000000123.obj", spool);
	file = fopen(lost, "w");
	assert_non_null(file);
	(void)fseek(file, 4096, SEEK_SET);
	(void)fprintf(file, "%8192d", 7);
	(void)fclose(file);
	(void)snprintf(path, sizeof(path), "%s/open/%016llx.obj", spool,
	    (unsigned long long)id);
	for (off_t size = 104096; size >= 0; size -= size > 5000 ? 4096 : 512) {
		assert_int_equal(truncate(path, size), 0);
		st = open_store(spool);
		f.n = 0;
		assert_int_equal(store_scan_own(st, true, true, false,
		    note_found, &f), 0);
		assert_int_equal(f.n, size >= 1024 ? 1 : 0);
		assert_int_equal(is_found(&f, id), size == 104096);
		assert_int_equal(check_object(st, id, &none),
		    size == 104096 ? 0 : -EUCLEAN);
		store_close(st);
	}
	st = open_store(spool);
	assert_int_equal(access(lost, F_OK), 0);	/* unless told to */
	assert_int_equal(store_scan_own(st, true, false, true, note_found, &f),
	    0);
	assert_int_equal(access(lost, F_OK), -1);
	assert_int_equal(access(path, F_OK), 0);	/* it began with a head */
	store_close(st);
}

/* A head that is damaged was a head: the container may have been promised. */
static void
test_own_with_a_damaged_head_is_left_alone(void **state)
{
	struct store *st = open_store(spool);
	struct found f = { .n = 0 };
	uint64_t id = 0;
	char path[200];
	FILE *file;

	(void)state;
	assert_int_equal(write_own(st, 100000, &id), 0);
	store_close(st);
	(void)snprintf(path, sizeof(path), "%s/open/%016llx.obj", spool,
	    (unsigned long long)id);
	file = fopen(path, "r+");
	assert_non_null(file);
	(void)fprintf(file, "rot");
	(void)fclose(file);
	st = open_store(spool);
	assert_int_equal(store_scan_own(st, true, false, true, note_found, &f),
	    0);
	assert_int_equal(f.n, 0);
	assert_int_equal(access(path, F_OK), 0);
	store_close(st);
}

/* What is being received is no leftover of an earlier run. */
static void
test_own_in_reception_is_not_scanned(void **state)
{
	struct store *st = open_store(spool);
	struct store_own *o = NULL;
	struct found f = { .n = 0 };
	uint64_t id = 0;

	(void)state;
	assert_int_equal(store_next_id(st, &id), 0);
	assert_int_equal(store_own_create(st, id, &o), 0);
	assert_int_equal(store_own_write(o, "abc", 3), 0);
	assert_int_equal(store_scan_own(st, false, true, true, note_found, &f),
	    0);
	assert_int_equal(f.n, 0);
	assert_true(exists("open/0000000000000001.obj"));
	store_own_close(o, false);
	store_close(st);
}

static void
test_own_in_objects_is_never_removed_by_a_scan(void **state)
{
	struct store *st = open_store(spool);
	struct found f = { .n = 0 };
	uint64_t id = 0;
	char path[200];

	(void)state;
	assert_int_equal(write_own(st, 5000, &id), 0);
	assert_int_equal(store_own_publish(st, id), 0);
	(void)snprintf(path, sizeof(path), "%s/objects/%02x/%016llx.obj", spool,
	    (unsigned)(id & 0xff), (unsigned long long)id);
	scribble(path, 100, "\xff", 1);
	assert_int_equal(store_scan_own(st, false, true, true, note_found, &f),
	    0);
	assert_int_equal(f.n, 0);
	assert_int_equal(access(path, F_OK), 0);
	store_close(st);
}

static void
test_own_pinned_is_not_removed(void **state)
{
	struct store_place none = { 0, 0 };
	struct store *st = open_store(spool);
	struct store_reader *rd = NULL;
	struct record rec;
	uint64_t id = 0;

	(void)state;
	assert_int_equal(write_own(st, 5000, &id), 0);
	assert_int_equal(store_reader_open(st, id, &none, &rd, &rec), 0);
	assert_int_equal(store_own_publish(st, id), 0);
	assert_int_equal(store_own_remove(st, id), -EBUSY);
	store_reader_close(rd);
	assert_int_equal(store_own_remove(st, id), 0);
	store_close(st);
}

static void
test_own_set_aside(void **state)
{
	struct store_place none = { 0, 0 };
	struct store *st = open_store(spool);
	char name[64];
	uint64_t id = 0;

	(void)state;
	for (int published = 0; published < 2; published++) {
		assert_int_equal(write_own(st, 5000, &id), 0);
		if (published)
			assert_int_equal(store_own_publish(st, id), 0);
		assert_int_equal(store_own_set_aside(st, id), 0);
		(void)snprintf(name, sizeof(name), "damaged/%016llx.obj",
		    (unsigned long long)id);
		assert_true(exists(name));
		assert_int_equal(check_object(st, id, &none), -ENOENT);
		assert_int_equal(store_own_remove(st, id), 0);
		assert_true(exists(name));
		assert_int_equal(store_own_set_aside(st, id), -ENOENT);
	}
	store_close(st);
}

static void
test_own_wiped(void **state)
{
	struct store_place none = { 0, 0 };
	struct store *st = open_store(spool);
	char path[200];
	struct stat sb;
	uint64_t id = 0;
	FILE *file;
	int c;

	(void)state;
	assert_int_equal(write_own(st, 70000, &id), 0);
	assert_int_equal(store_wipe(st, id, &none, 70000), 0);
	(void)snprintf(path, sizeof(path), "%s/open/%016llx.obj", spool,
	    (unsigned long long)id);
	assert_int_equal(stat(path, &sb), 0);
	assert_int_equal(sb.st_size, 74096);
	file = fopen(path, "r");
	assert_non_null(file);
	while ((c = getc(file)) != EOF)
		assert_int_equal(c, 0);
	(void)fclose(file);
	store_close(st);
}

/* ---- power ---- */

#define SMALL 6
struct promised {
	uint64_t id[SMALL + 1];
	struct store_place at[SMALL + 1];
	size_t n;
	bool finished;
};

/* What a short life of the daemon does; only what was synced is promised. */
static void
live(struct promised *p)
{
	struct buf why = BUF_INIT(4096);
	struct store_place at;
	struct store *st = NULL;
	uint64_t id = 0;
	int r;

	r = store_open(spool, 0, SEGMENT_BYTES, &st, &why);
	buf_free(&why);
	if (r < 0)
		return;
	for (int i = 0; i < SMALL && r == 0; i++) {
		r = append_object(st, 15000, &id, &at);
		if (r < 0)
			break;
		r = store_sync(st);
		store_landed(st, &at);
		if (r == 0) {
			p->id[p->n] = id;
			p->at[p->n++] = at;
		}
	}
	if (r == 0)
		r = write_own(st, 300000, &id);
	if (r == 0)
		r = store_sync(st);
	if (r == 0) {
		p->id[p->n] = id;
		p->at[p->n++] = (struct store_place) { 0, 0 };
		r = store_own_publish(st, id);
	}
	p->finished = r == 0;
	store_close(st);
}

static void
check_promises(const struct promised *p)
{
	struct store *st = open_store(spool);
	struct found f = scan_all(st, true);
	uint64_t id = 0;

	for (size_t i = 0; i < p->n; i++) {
		assert_true(is_found(&f, p->id[i]));
		assert_int_equal(check_object(st, p->id[i], &p->at[i]), 0);
	}
	/* A container with a sealed head is whole: it was promised or may as
	 * well have been. */
	for (size_t i = 0; i < f.n; i++)
		assert_true(f.whole[i] || f.at[i].segment != 0);
	/* And life goes on, with ids that are new. */
	assert_int_equal(store_next_id(st, &id), 0);
	for (size_t i = 0; i < p->n; i++)
		assert_true(id > p->id[i]);
	store_close(st);
}

static void
test_1_power_cut_at_every_change(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 4; seed++) {
		struct promised p = { .n = 0 };

		for (unsigned step = 1; !p.finished; step++) {
			memset(&p, 0, sizeof(p));
			disk_reset();
			disk.watch = true;
			disk.dead_after = step;
			live(&p);
			disk_power_cut(seed + (seed > 1) * step);
			check_promises(&p);
			drop_tree(NULL);
			make_tree(NULL);
		}
		assert_int_equal(p.n, SMALL + 1);
	}
}

/* A power cut while a recycled segment is taken into use: nothing old comes back
 * for new, and what lives elsewhere stays. */
static void
test_2_power_cut_while_recycling(void **state)
{
	(void)state;
	for (unsigned step = 1; step <= 8; step++) {
		for (unsigned seed = 1; seed <= 4; seed++) {
			struct store *st = open_store(spool);
			uint64_t segment = fill_segment(st), id;
			struct promised p = { .n = 0 };
			struct found f = { .n = 0 }, after;
			struct store_place at;

			p.id[p.n] = keep_object(st, 100, &at);
			p.at[p.n++] = at;
			assert_int_equal(store_scan_segment(st, segment, true,
			    note_found, &f), 0);
			recycle(st, segment);
			disk_reset();
			disk.watch = true;
			disk.dead_after = step;
			while (append_object(st, 9000, &id, &at) == 0) {
				int r = store_sync(st);

				store_landed(st, &at);
				if (r < 0)
					break;
				if (p.n <= SMALL) {
					p.id[p.n] = id;
					p.at[p.n++] = at;
				}
			}
			store_close(st);
			disk_power_cut(seed + (seed > 1) * step);
			check_promises(&p);
			st = open_store(spool);
			after = scan_all(st, true);
			/* All of the old generation or none of it. */
			int old = 0;

			for (size_t i = 0; i < f.n; i++)
				old += is_found(&after, f.id[i]);
			assert_true(old == 0 || old == (int)f.n);
			store_close(st);
			drop_tree(NULL);
			make_tree(NULL);
		}
	}
}

/* ---- many threads ---- */

static void *
append_many(void *arg)
{
	struct store *st = arg;

	for (int i = 0; i < 40; i++) {
		struct store_place at;
		struct record rec;
		uint8_t data[3000];
		uint64_t id = 0;
		struct iovec iov = { data, sizeof(data) };

		if (store_next_id(st, &id) < 0)
			return arg;
		object_bytes(id, data, sizeof(data));
		rec = object_record(id, data, sizeof(data));
		if (store_reserve(st, RECORD_HEAD + sizeof(data),
		    clock_mono_ms() + 20000, &at, &rec.generation) < 0)
			return arg;
		rec.segment = at.segment;
		if (store_append(st, &at, &rec, &iov, 1) < 0 ||
		    store_sync(st) < 0 || check_object(st, id, &at) < 0)
			return arg;
		store_landed(st, &at);
	}
	return NULL;
}

static void
test_many_associations_and_a_keeper(void **state)
{
	struct store *st = open_store(spool);
	pthread_t thread[4];
	struct found f;
	uint64_t full, generation;
	void *failed;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, append_many,
		    st), 0);
	for (int left = 4; left > 0;) {
		if (store_wants_standby(st))
			assert_int_equal(make_standby(st), 0);
		if (store_next_full(st, &full, &generation) == 0)
			store_sealed(st, full);
		else if (pthread_tryjoin_np(thread[left - 1], &failed) == 0) {
			assert_null(failed);
			left--;
		}
	}
	f = scan_all(st, true);
	assert_int_equal(f.n, 160);
	for (size_t i = 0; i < f.n; i++)
		assert_true(f.whole[i]);
	store_close(st);
}

/* ---- space ---- */

static void
test_ballast(void **state)
{
	struct store *st = open_store(spool);
	char path[200];
	struct stat sb;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/ballast", spool);
	assert_int_equal(store_ballast_release(st), 0);
	assert_int_equal(store_ballast_ensure(st, 1 << 20), 0);
	assert_int_equal(stat(path, &sb), 0);
	assert_true(sb.st_blocks * 512 >= 1 << 20);	/* real ones */
	disk_fail(DISK_ALLOCATE, 1, ENOSPC);
	assert_int_equal(store_ballast_ensure(st, 1 << 20), 0);	/* it is there */
	assert_int_equal(store_ballast_ensure(st, 2 << 20), -ENOSPC);
	disk_reset();
	assert_int_equal(stat(path, &sb), -1);
	assert_int_equal(store_ballast_ensure(st, 2 << 20), 0);
	assert_int_equal(store_ballast_release(st), 0);
	assert_int_equal(stat(path, &sb), -1);
	store_close(st);
}

static void
test_space(void **state)
{
	struct store *st = open_store(spool);
	uint64_t avail = 0, size = 0;

	(void)state;
	assert_int_equal(store_space(st, &avail, &size), 0);
	assert_true(size > 0 && avail <= size);
	assert_int_equal(store_free_bytes(st), 0);
	assert_int_equal(make_standby(st), 0);
	assert_int_equal(store_free_bytes(st), SEGMENT_BYTES - RECORD_ALIGN);
	store_close(st);
}

/* On a file system of 4 MiB in a name space of our own; the exit status tells:
 * 0 good, 77 no such thing here, else the number of the check. */
#define CHECK(cond)                                                     \
	do {                                                            \
		if (!(cond))                                            \
			_exit(__LINE__ % 64 + 1);                       \
	} while (0)

static int
settle_one(struct settle_log *log, uint64_t id)
{
	struct settle_entry e = { .verb = SETTLE_EXPUNGED, .id = id,
		.destination = "", .study = "", .actor = "", .reason = "" };
	int r = settle_append(log, &e);

	return r < 0 ? r : settle_sync(log);
}

static bool
write_map(const char *path, unsigned id)
{
	FILE *file = fopen(path, "w");

	if (file == NULL)
		return false;
	(void)fprintf(file, "0 %u 1\n", id);
	return fclose(file) == 0;
}

static bool
enter_name_space(void)
{
	unsigned uid = getuid(), gid = getgid();
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "deny", 4) != 4 || close(fd) < 0)
		return false;
	return write_map("/proc/self/uid_map", uid) &&
	    write_map("/proc/self/gid_map", gid) &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void
fill_a_disk(void)
{
	struct store_place at, none = { 0, 0 };
	struct settle_log *log = NULL;
	uint64_t id, last = 0, own = 0, bad;
	struct store *st = NULL;
	struct buf why = BUF_INIT(4096);
	int r;

	if (!enter_name_space() ||
	    mount("none", tree, "tmpfs", 0, "size=4m") < 0)
		_exit(77);
	CHECK(store_open(spool, 0, SEGMENT_BYTES, &st, &why) == 0);
	CHECK(settle_open(store_dirfd(st), &log, &bad) == 0);
	CHECK(store_ballast_ensure(st, 1 << 20) == 0);

	CHECK(write_own(st, 1 << 20, &own) == 0);
	CHECK(write_own(st, 3 << 20, &id) == -ENOSPC);
	CHECK(check_object(st, own, &none) == 0);
	CHECK(check_object(st, id, &none) == -ENOENT);
	while ((r = append_object(st, 15000, &id, &at)) == 0) {
		CHECK(store_sync(st) == 0);
		store_landed(st, &at);
		CHECK(check_object(st, id, &at) == 0);
		last = id;
	}
	CHECK(r == -ENOSPC && last != 0);

	/* To the last page, and then the ballast pays for settling. */
	while ((r = settle_one(log, 1)) == 0)
		;
	CHECK(r == -ENOSPC);
	CHECK(store_ballast_release(st) == 0);
	CHECK(settle_one(log, 1) == 0);
	settle_close(log);
	store_close(st);

	CHECK(store_open(spool, 0, SEGMENT_BYTES, &st, &why) == 0);
	CHECK(check_object(st, own, &none) == 0);
	CHECK(store_own_remove(st, own) == 0);
	CHECK(append_object(st, 15000, &id, &at) == 0);
	CHECK(store_sync(st) == 0);
	store_landed(st, &at);
	store_close(st);
	_exit(0);
}

static void
test_full_disk_for_real(void **state)
{
	pid_t pid = fork();
	int status = 0;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		fill_a_disk();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_tree, drop_tree)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_layout_and_permissions),
		TEST(test_10_one_daemon),
		TEST(test_identity_stays),
		TEST(test_newer_format_is_refused),
		TEST(test_opens_on_a_full_disk),
		TEST(test_ids_are_never_given_twice),
		TEST(test_node_is_the_high_byte),
		TEST(test_lost_SPOOL_is_made_anew),
		TEST(test_two_spools_in_one_are_refused),
		TEST(test_3_foreign_files_are_left_alone),
		TEST(test_links_and_fifos_are_not_followed),
		TEST(test_append_and_read),
		TEST(test_too_large_for_a_segment),
		TEST(test_without_standby_it_waits_and_then_refuses),
		TEST(test_a_standby_wakes_who_waits),
		TEST(test_prepared_is_not_standby),
		TEST(test_hole_is_stepped_over),
		TEST(test_record_inside_a_record_is_none),
		TEST(test_stale_generation_is_no_record),
		TEST(test_segment_head_lost_highest_generation_counts),
		TEST(test_every_block_damaged_in_turn),
		TEST(test_unreadable_block_hurts_one_record),
		TEST(test_truncated_segment_at_every_block),
		TEST(test_states_and_sealing),
		TEST(test_small_ones_still_fit_without_a_standby),
		TEST(test_known_segments_at_start),
		TEST(test_6_pins_keep_a_segment),
		TEST(test_recycling_above_the_limit_removes),
		TEST(test_wipe_takes_one_record),
		TEST(test_one_sync_for_all),
		TEST(test_7_failed_sync_is_final),
		TEST(test_7_who_waits_hears_of_it),
		TEST(test_standby_fails_at_every_step),
		TEST(test_taking_again_fails_at_every_step),
		TEST(test_failed_append_is_a_hole),
		TEST(test_own_write_finish_publish_remove),
		TEST(test_own_reads_back_while_it_is_written),
		TEST(test_own_fails_at_every_call),
		TEST(test_own_takes_the_last_room),
		TEST(test_own_error_stays),
		TEST(test_own_unfinished_and_short_files),
		TEST(test_own_with_a_damaged_head_is_left_alone),
		TEST(test_own_in_reception_is_not_scanned),
		TEST(test_own_in_objects_is_never_removed_by_a_scan),
		TEST(test_own_pinned_is_not_removed),
		TEST(test_own_set_aside),
		TEST(test_own_wiped),
		TEST(test_1_power_cut_at_every_change),
		TEST(test_2_power_cut_while_recycling),
		TEST(test_many_associations_and_a_keeper),
		TEST(test_ballast),
		TEST(test_space),
		TEST(test_full_disk_for_real),
	};

	return cmocka_run_group_tests_name("spool store", tests, NULL, NULL);
}
