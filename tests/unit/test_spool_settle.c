/* test_spool_settle.c - the log of what became of each promise: whatever happens
 * to the disk, what was synced is read back, byte by byte, and nothing else is
 * taken for it (invariant 4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/faulty_disk.h"

#include "spool/settle_int.h"
#include "spool/settle_line_int.h"

#define LOG "settle.log"

static char tree[64];
static int dirfd_;

static int
make_tree(void **state)
{
	(void)state;
	disk_reset();
	disk_make_tree(tree);
	dirfd_ = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0;
}

static int
drop_tree(void **state)
{
	(void)state;
	disk_reset();
	(void)close(dirfd_);
	disk_remove_tree(tree);
	return 0;
}

static struct settle_entry
delivered(uint64_t id)
{
	return (struct settle_entry) { .verb = SETTLE_DELIVERY,
		.wall_ms = INT64_C(1700000000000) + (int64_t)id, .id = id,
		.destination = "cloud", .study = "", .state = SPOOL_DELIVERED,
		.actor = "", .reason = "" };
}

struct seen {
	uint64_t id[4096];
	size_t	 n;
	char	 text[5][4096];		/* of the last */
	struct settle_entry last;
};

static int
see(void *arg, const struct settle_entry *e)
{
	struct seen *s = arg;

	assert_true(s->n < 4096);
	s->id[s->n++] = e->id;
	s->last = *e;
	(void)snprintf(s->text[0], 4096, "%s", e->destination);
	(void)snprintf(s->text[1], 4096, "%s", e->study);
	(void)snprintf(s->text[2], 4096, "%s", e->actor);
	(void)snprintf(s->text[3], 4096, "%s", e->reason);
	(void)snprintf(s->text[4], 4096, "%s", e->remote);
	return 0;
}

static struct seen seen;

/* Opens, replays into `seen`, closes. */
static uint64_t
look(void)
{
	struct settle_log *log = NULL;
	uint64_t bad = 99;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(settle_open(dirfd_, &log, &bad), 0);
	assert_int_equal(settle_replay(log, 0, see, &seen), 0);
	settle_close(log);
	return bad;
}

static struct settle_log *
open_log(void)
{
	struct settle_log *log = NULL;
	uint64_t bad;

	assert_int_equal(settle_open(dirfd_, &log, &bad), 0);
	return log;
}

static void
append(struct settle_log *log, uint64_t id)
{
	struct settle_entry e = delivered(id);

	assert_int_equal(settle_append(log, &e), 0);
}

static void
write_log(uint64_t n)
{
	struct settle_log *log = open_log();

	for (uint64_t id = 1; id <= n; id++)
		append(log, id);
	assert_int_equal(settle_sync(log), 0);
	settle_close(log);
}

static char *
slurp(size_t *ret_len)
{
	static char *text;

	assert_int_equal(fdio_slurp(dirfd_, LOG, 1 << 24, &text, ret_len), 0);
	return text;
}

static void
put_file(const char *data, size_t len)
{
	int fd = openat(dirfd_, LOG, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	(void)close(fd);
}

static void
test_every_verb_comes_back(void **state)
{
	(void)state;
	for (int verb = 0; verb < SETTLE_VERBS; verb++) {
		for (int st = 0; st < SPOOL_DELIVERY_STATES; st++) {
			struct settle_entry e = { .verb = (enum settle_verb)verb,
				.wall_ms = -1, .id = UINT64_MAX,
				.destination = "pacs 2", .study = "1.2.3",
				.state = (enum spool_delivery)st, .value = -7,
				.actor = "uid 1000 (mta)", .reason = "why",
				.remote = st % 2 ? "set/7" : NULL };
			struct settle_log *log = open_log();

			assert_int_equal(settle_append(log, &e), 0);
			assert_int_equal(settle_sync(log), 0);
			settle_close(log);
			assert_int_equal(look(), 0);
			assert_int_equal(seen.last.verb, verb);
			if (verb == SETTLE_DELIVERY)
				assert_int_equal(seen.last.state, st);
			assert_int_equal(seen.last.wall_ms, -1);
			assert_int_equal(seen.last.id, UINT64_MAX);
			assert_int_equal(seen.last.value, -7);
			assert_string_equal(seen.text[0], "pacs 2");
			assert_string_equal(seen.text[1], "1.2.3");
			assert_string_equal(seen.text[2], "uid 1000 (mta)");
			assert_string_equal(seen.text[3], "why");
			assert_string_equal(seen.text[4], st % 2 ? "set/7" : "");
		}
	}
}

static void
test_hostile_text_comes_back_and_forges_nothing(void **state)
{
	static const char *const texts[] = {
		"a\tb\nc\rd", "\\", "\\x41", "\\x", "\x01\x1f\x7f",
		"M\xc3\xbcller \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80",
		"latin1 M\xfcller", "\xc3", "\xe6\x97", "\xf0\x9f\x98",
		"\xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80", "\xc2\x85 \xc2\x9b",
		"\n1\tdelivery\t0000000000000001\tcloud\t\tlet-go\t0\t\t\t0",
	};
	struct settle_entry e = delivered(5);
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct settle_log *log = open_log();
		char *file;

		e.reason = texts[i];
		e.actor = texts[i];
		e.destination = texts[i];
		e.remote = texts[i];
		assert_int_equal(settle_append(log, &e), 0);
		assert_int_equal(settle_sync(log), 0);
		settle_close(log);
		assert_int_equal(look(), 0);
		assert_int_equal(seen.n, i + 1);
		assert_string_equal(seen.text[0], texts[i]);
		assert_string_equal(seen.text[2], texts[i]);
		assert_string_equal(seen.text[3], texts[i]);
		assert_string_equal(seen.text[4], texts[i]);

		/* The file is text: no control but tab and newline. */
		file = slurp(&len);
		for (size_t j = 0; j < len; j++)
			assert_true((unsigned char)file[j] >= 0x20 ||
			    file[j] == '\t' || file[j] == '\n');
		free(file);
	}
}

static void
test_long_reasons_are_cut_between_characters(void **state)
{
	struct settle_entry e = delivered(1);
	struct settle_log *log = open_log();
	char reason[9000];

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(reason); i += 3)
		memcpy(reason + i, "\xe6\x97\xa5", 3);
	reason[8997] = '\0';
	e.reason = reason;
	assert_int_equal(settle_append(log, &e), 0);
	e.destination = reason;
	assert_int_equal(settle_append(log, &e), -EINVAL);
	assert_int_equal(settle_sync(log), 0);
	settle_close(log);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(strlen(seen.text[3]), 1998);
	assert_memory_equal(seen.text[3], reason, 1998);
}

/* Written by the version before there were jobs: sealed as it was then. */
static void
test_lines_of_old_are_read(void **state)
{
	static const char text[] = "causeway-settle 1\n"
	    "1700000000005\tdelivery\t0000000000000005\tcloud\t\trefused\t0\t\t"
	    "too large\t67720d5c5b6ad763\n";

	(void)state;
	put_file(text, strlen(text));
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.id[0], 5);
	assert_int_equal(seen.last.state, SPOOL_REFUSED);
	assert_string_equal(seen.text[3], "too large");
	assert_string_equal(seen.text[4], "");
}

/* And what has nothing new to say is said as it was then. */
static void
test_lines_without_remote_are_as_of_old(void **state)
{
	struct settle_entry e = delivered(5);
	struct buf plain = BUF_INIT(SETTLE_LINE_MAX), more = plain;
	unsigned tabs = 0, more_tabs = 0;

	(void)state;
	e.remote = "";
	assert_int_equal(settle_line_encode(&e, &plain), 0);
	e.remote = "r";
	assert_int_equal(settle_line_encode(&e, &more), 0);
	for (size_t i = 0; i < plain.len; i++)
		tabs += plain.data[i] == '\t';
	for (size_t i = 0; i < more.len; i++)
		more_tabs += more.data[i] == '\t';
	assert_int_equal(tabs, 9);
	assert_int_equal(more_tabs, 10);
	buf_free(&plain);
	buf_free(&more);
}

/* Neither what a destination calls an instance nor a job's text is ever cut. */
static void
test_the_longest_line_of_ours(void **state)
{
	struct buf line = BUF_INIT(SETTLE_LINE_MAX);
	char name[256], actor[251], reason[2001], remote[SPOOL_REMOTE_MAX + 2];
	struct settle_entry e = { .verb = SETTLE_DESTINATION_HOLD,
		.wall_ms = INT64_MIN, .id = UINT64_MAX, .destination = name,
		.study = name, .value = INT64_MIN, .actor = actor,
		.reason = reason, .remote = remote }, back;

	(void)state;
	memset(name, '\n', sizeof(name));
	memset(actor, '\n', sizeof(actor));
	memset(reason, '\n', sizeof(reason));
	memset(remote, '\n', sizeof(remote));
	name[255] = actor[250] = reason[2000] = '\0';
	remote[SPOOL_REMOTE_MAX + 1] = '\0';
	assert_int_equal(settle_line_encode(&e, &line), -EINVAL);
	remote[SPOOL_REMOTE_MAX] = '\0';
	assert_int_equal(settle_line_encode(&e, &line), 0);
	assert_int_equal(settle_line_decode(line.data, line.len - 1, &back), 0);
	assert_string_equal(back.remote, remote);
	assert_string_equal(back.reason, reason);
	assert_true(back.value == INT64_MIN);
	buf_free(&line);
}

static void
test_nothing_is_durable_before_the_sync(void **state)
{
	struct settle_log *log = open_log();
	uint64_t size = settle_size(log);

	(void)state;
	append(log, 1);
	assert_int_equal(settle_size(log), size);
	settle_discard(log);
	append(log, 2);
	assert_int_equal(settle_sync(log), 0);
	assert_true(settle_size(log) > size);
	disk_fail(DISK_SYNC, 1, EIO);	/* nothing new: no sync either */
	assert_int_equal(settle_sync(log), 0);
	settle_close(log);
	disk_reset();
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.id[0], 2);
}

static void
test_large_batches_and_their_discard(void **state)
{
	struct settle_log *log = open_log();
	struct settle_entry e = delivered(1);
	char reason[1501];
	uint64_t size;

	(void)state;
	memset(reason, 'r', 1500);
	reason[1500] = '\0';
	e.reason = reason;
	append(log, 1);
	assert_int_equal(settle_sync(log), 0);
	size = settle_size(log);
	for (e.id = 2; e.id < 2000; e.id++)	/* 3 MB: more than memory holds */
		assert_int_equal(settle_append(log, &e), 0);
	settle_discard(log);
	append(log, 2000);
	assert_int_equal(settle_sync(log), 0);
	assert_true(settle_size(log) < size + 200);
	for (e.id = 3000; e.id < 5000; e.id++)
		assert_int_equal(settle_append(log, &e), 0);
	assert_int_equal(settle_sync(log), 0);
	settle_close(log);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 2002);
	assert_int_equal(seen.id[1], 2000);
	assert_int_equal(seen.id[2001], 4999);
}

static void
test_torn_last_line_is_cut_at_every_byte(void **state)
{
	size_t len, last;
	char *file;

	(void)state;
	write_log(3);
	file = slurp(&len);
	for (last = len - 1; file[last - 1] != '\n'; last--)
		;
	for (size_t cut = last; cut <= len; cut++) {
		bool whole = cut >= len - 1;	/* the newline alone is no loss */

		put_file(file, cut);
		assert_int_equal(look(), 0);
		assert_int_equal(seen.n, whole ? 3 : 2);
		/* What comes next stands on its own line. */
		write_log(1);
		assert_int_equal(look(), 0);
		assert_int_equal(seen.n, whole ? 4 : 3);
	}
	/* Torn in the very first one, or in the version line. */
	for (size_t cut = 0; cut < 40; cut++) {
		put_file(file, cut);
		assert_int_equal(look(), 0);
		assert_int_equal(seen.n, 0);
		write_log(1);
		assert_int_equal(look(), 0);
		assert_int_equal(seen.n, 1);
	}
	free(file);
}

static void
test_tail_of_zeros_is_cut(void **state)
{
	size_t len;
	char *file, *longer;

	(void)state;
	write_log(3);
	file = slurp(&len);
	longer = calloc(1, len + 100000);
	memcpy(longer, file, len);
	put_file(longer, len + 100000);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 3);
	free(file);
	file = slurp(&len);
	assert_memory_equal(file, longer, len);
	free(file);
	free(longer);
}

static void
test_damaged_lines_hurt_only_themselves(void **state)
{
	size_t len, header;
	char *file;

	(void)state;
	write_log(5);
	file = slurp(&len);
	header = (size_t)(strchr(file, '\n') - file) + 1;
	for (size_t i = header; i + 1 < len; i++) {
		char was = file[i];
		bool newline = was == '\n';

		file[i] = (char)(was ^ 0x01);
		put_file(file, len);
		/* A lost newline joins two lines. */
		assert_int_equal(look(), 1);
		assert_int_equal(seen.n, newline ? 3 : 4);
		file[i] = '\n';
		put_file(file, len);
		assert_int_equal(look(), newline ? 0 : 2);
		assert_int_equal(seen.n, newline ? 5 : 4);
		file[i] = '\0';
		put_file(file, len);
		assert_int_equal(look(), 1);
		file[i] = was;
	}
	/* The version line is a line like any other. */
	file[3] = '?';
	put_file(file, len);
	assert_int_equal(look(), 1);
	assert_int_equal(seen.n, 5);
	free(file);
}

static void
test_endless_line_is_passed_over(void **state)
{
	struct settle_log *log;
	size_t len;
	char *file = NULL;

	(void)state;
	write_log(2);
	file = slurp(&len);
	file = realloc(file, len + 300000 + len);
	memset(file + len, 'x', 300000);
	file[len + 300000 - 1] = '\n';
	memcpy(file + len + 300000, file, len);
	put_file(file, 2 * len + 300000);
	/* The line, and the second version line in the middle. */
	assert_int_equal(look(), 2);
	assert_int_equal(seen.n, 4);
	put_file(file, len + 200000);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 2);
	log = open_log();
	assert_int_equal(settle_size(log), len);
	settle_close(log);
	free(file);
}

static void
test_unreadable_block_hurts_only_its_lines(void **state)
{
	struct settle_log *log = NULL;
	uint64_t bad;

	(void)state;
	write_log(1000);		/* more than one read */
	/* The first large read, and then its first block. */
	disk.fail_block = 1;
	assert_int_equal(settle_open(dirfd_, &log, &bad), 0);
	assert_in_range(bad, 1, 1);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(settle_replay(log, 0, see, &seen), 0);
	assert_in_range(seen.n, 900, 960);
	settle_close(log);
	disk_reset();
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 1000);
}

/* Nothing is cut off where the disk could not be read. */
static void
test_unreadable_end_is_kept(void **state)
{
	struct settle_log *log = NULL;
	uint64_t bad;

	(void)state;
	write_log(20);
	disk.fail_block = 1;
	assert_int_equal(settle_open(dirfd_, &log, &bad), 0);
	assert_int_equal(bad, 1);
	settle_close(log);
	disk_reset();
	assert_int_equal(look(), 1);	/* the empty line behind it */
	assert_int_equal(seen.n, 20);
}

static void
test_newer_version_is_refused(void **state)
{
	struct settle_log *log = NULL;
	uint64_t bad;

	(void)state;
	put_file("causeway-settle 2\nwhatever\n", 27);
	assert_int_equal(settle_open(dirfd_, &log, &bad), -ENOTSUP);
	assert_null(log);
}

static void
test_link_or_folder_of_that_name_is_refused(void **state)
{
	struct settle_log *log = NULL;
	uint64_t bad;

	(void)state;
	assert_int_equal(symlinkat("/etc/passwd", dirfd_, LOG), 0);
	assert_int_equal(settle_open(dirfd_, &log, &bad), -ELOOP);
	assert_int_equal(unlinkat(dirfd_, LOG, 0), 0);
	assert_int_equal(mkdirat(dirfd_, LOG, 0700), 0);
	assert_true(settle_open(dirfd_, &log, &bad) < 0);
}

static void
test_file_is_private(void **state)
{
	struct stat sb;

	(void)state;
	write_log(1);
	assert_int_equal(fstatat(dirfd_, LOG, &sb, 0), 0);
	assert_int_equal(sb.st_mode & 0777, 0600);
}

static void
test_full_disk_leaves_nothing_of_the_batch(void **state)
{
	struct settle_log *log;

	(void)state;
	write_log(2);
	for (size_t part = 0; part < 300; part += 7) {
		log = open_log();
		append(log, 10);
		append(log, 11);
		disk_fail(DISK_WRITE, 1, ENOSPC);
		disk.fail_written = part;
		assert_int_equal(settle_sync(log), -ENOSPC);
		disk_reset();
		/* Nothing of it, now or later; and the next batch is taken. */
		assert_int_equal(settle_sync(log), 0);
		settle_close(log);
		assert_int_equal(look(), 0);
		assert_int_equal(seen.n, 2);
	}
	log = open_log();
	append(log, 12);
	disk_fail(DISK_WRITE, 1, ENOSPC);
	disk.fail_written = 50;
	assert_int_equal(settle_sync(log), -ENOSPC);
	append(log, 13);
	assert_int_equal(settle_sync(log), 0);
	settle_close(log);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.id[2], 13);
}

/* Invariant 7. */
static void
test_failed_sync_is_final(void **state)
{
	struct settle_entry e = delivered(3);
	struct settle_log *log = open_log();

	(void)state;
	append(log, 1);
	disk_fail(DISK_SYNC, 1, EIO);
	assert_int_equal(settle_sync(log), -EIO);
	disk_reset();
	assert_int_equal(settle_sync(log), -EIO);
	assert_int_equal(settle_append(log, &e), -EIO);
	settle_discard(log);
	assert_int_equal(settle_sync(log), -EIO);
	settle_close(log);
}

static void
test_failed_write_is_final(void **state)
{
	struct settle_log *log = open_log();

	(void)state;
	append(log, 1);
	disk_fail(DISK_WRITE, 1, EIO);
	assert_int_equal(settle_sync(log), -EIO);
	assert_int_equal(settle_sync(log), -EIO);
	settle_close(log);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 0);
}

static void
test_replay_from_an_offset(void **state)
{
	struct settle_log *log = open_log();
	uint64_t at;

	(void)state;
	append(log, 1);
	assert_int_equal(settle_sync(log), 0);
	at = settle_size(log);
	append(log, 2);
	assert_int_equal(settle_sync(log), 0);

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(settle_replay(log, at, see, &seen), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.id[0], 2);
	/* An offset that is none of this log's: everything. */
	assert_int_equal(settle_replay(log, at + 1, see, &seen), 0);
	assert_int_equal(settle_replay(log, 1 << 20, see, &seen), 0);
	assert_int_equal(seen.n, 5);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(settle_replay(log, settle_size(log), see, &seen), 0);
	assert_int_equal(seen.n, 0);
	settle_close(log);
}

static bool
keep_odd(void *arg, const struct settle_entry *e)
{
	(void)arg;
	return e->id % 2 == 1;
}

static void
test_compaction(void **state)
{
	struct settle_log *log;

	(void)state;
	write_log(1000);
	log = open_log();
	assert_int_equal(settle_compact(log, keep_odd, NULL), 0);
	append(log, 5000);		/* goes on in the new file */
	assert_int_equal(settle_sync(log), 0);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(settle_replay(log, 0, see, &seen), 0);
	assert_int_equal(seen.n, 501);
	settle_close(log);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 501);
	assert_int_equal(seen.id[499], 999);
	assert_int_equal(seen.id[500], 5000);
}

static void
test_compaction_sets_damaged_lines_aside(void **state)
{
	struct settle_log *log;
	uint64_t bad;
	size_t len;
	char *file;

	(void)state;
	write_log(9);
	file = slurp(&len);
	file[200] ^= 1;
	put_file(file, len);
	log = open_log();
	assert_int_equal(settle_compact(log, keep_odd, NULL), 0);
	settle_close(log);
	assert_int_equal(look(), 0);
	free(file);
	assert_int_equal(renameat(dirfd_, LOG ".damaged", dirfd_, LOG), 0);
	assert_int_equal(settle_open(dirfd_, &log, &bad), 0);
	assert_int_equal(bad, 1);
	settle_close(log);
}

/* The power fails at every step of a compaction: the old log or the new one. */
static void
test_compaction_is_crash_safe(void **state)
{
	unsigned step, failed = 0;

	(void)state;
	for (step = 1;; step++) {
		struct settle_log *log;
		int r;

		(void)unlinkat(dirfd_, LOG, 0);
		write_log(1000);
		log = open_log();
		disk_reset();
		disk.watch = true;
		disk.dead_after = step;
		r = settle_compact(log, keep_odd, NULL);
		settle_close(log);
		disk_power_cut(step % 5 + 1);
		assert_int_equal(look(), 0);
		assert_true(seen.n == 1000 || seen.n == 500);
		if (r == 0) {
			assert_int_equal(seen.n, 500);
			break;
		}
		failed++;
	}
	assert_true(failed >= 4);	/* create, write, sync, rename, sync */
	/* Left over by a crash: gone with the next start. */
	assert_int_equal(faccessat(dirfd_, ".settle.log.new", F_OK, 0), -1);
}

static void
test_compaction_on_a_full_disk_keeps_the_old(void **state)
{
	struct settle_log *log;

	(void)state;
	write_log(1000);
	log = open_log();
	for (unsigned nth = 1; nth <= 2; nth++) {
		disk_fail(DISK_WRITE, nth, ENOSPC);
		assert_int_equal(settle_compact(log, keep_odd, NULL), -ENOSPC);
	}
	disk_fail(DISK_CREATE, 1, ENOSPC);
	assert_int_equal(settle_compact(log, keep_odd, NULL), -ENOSPC);
	disk_reset();
	append(log, 5000);
	assert_int_equal(settle_sync(log), 0);
	settle_close(log);
	assert_int_equal(look(), 0);
	assert_int_equal(seen.n, 1001);
}

/* The new log has the name, but the directory may not know it for long. */
static void
test_compaction_whose_name_is_not_durable_is_final(void **state)
{
	struct settle_entry e = delivered(7);
	struct settle_log *log;

	(void)state;
	write_log(10);
	log = open_log();
	disk_fail(DISK_SYNC, 3, EIO);	/* head, lines, directory */
	assert_int_equal(settle_compact(log, keep_odd, NULL), -EIO);
	disk_reset();
	assert_int_equal(settle_append(log, &e), -EIO);
	settle_close(log);
}

/* What settle_sync() answered 0 for is there after a power cut at any moment. */
static void
test_power_cut_anywhere(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 4; seed++) {
		bool finished = false;

		for (unsigned step = 1; !finished; step++) {
			struct settle_log *log = NULL;
			uint64_t bad, promised = 0;

			(void)unlinkat(dirfd_, LOG, 0);
			disk.watch = true;
			disk.dead_after = step;
			if (settle_open(dirfd_, &log, &bad) == 0) {
				uint64_t id = 1;

				for (; id <= 5; id++) {
					append(log, id);
					if (settle_sync(log) < 0)
						break;
					promised = id;
				}
				finished = id == 6;
				settle_close(log);
			}
			disk_power_cut(seed);
			(void)look();
			assert_true(seen.n >= promised);
			for (uint64_t i = 0; i < promised; i++)
				assert_int_equal(seen.id[i], i + 1);
		}
	}
}

static void
test_reading_changes_nothing(void **state)
{
	size_t len, after;
	char *file, *again;
	uint64_t bad = 9;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(settle_read(dirfd_, see, &seen, &bad), 0);
	assert_int_equal(seen.n, 0);
	write_log(3);
	file = slurp(&len);
	put_file(file, len - 5);
	assert_int_equal(settle_read(dirfd_, see, &seen, &bad), 0);
	assert_int_equal(seen.n, 2);
	again = slurp(&after);
	assert_int_equal(after, len - 5);
	put_file(file, len - 1);	/* but for its newline it is whole */
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(settle_read(dirfd_, see, &seen, &bad), 0);
	assert_int_equal(seen.n, 3);
	assert_int_equal(bad, 0);
	free(file);
	free(again);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_tree, drop_tree)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_verb_comes_back),
		TEST(test_hostile_text_comes_back_and_forges_nothing),
		TEST(test_long_reasons_are_cut_between_characters),
		TEST(test_lines_of_old_are_read),
		TEST(test_lines_without_remote_are_as_of_old),
		TEST(test_the_longest_line_of_ours),
		TEST(test_nothing_is_durable_before_the_sync),
		TEST(test_large_batches_and_their_discard),
		TEST(test_torn_last_line_is_cut_at_every_byte),
		TEST(test_tail_of_zeros_is_cut),
		TEST(test_damaged_lines_hurt_only_themselves),
		TEST(test_endless_line_is_passed_over),
		TEST(test_unreadable_block_hurts_only_its_lines),
		TEST(test_unreadable_end_is_kept),
		TEST(test_newer_version_is_refused),
		TEST(test_link_or_folder_of_that_name_is_refused),
		TEST(test_file_is_private),
		TEST(test_full_disk_leaves_nothing_of_the_batch),
		TEST(test_failed_sync_is_final),
		TEST(test_failed_write_is_final),
		TEST(test_replay_from_an_offset),
		TEST(test_compaction),
		TEST(test_compaction_sets_damaged_lines_aside),
		TEST(test_compaction_is_crash_safe),
		TEST(test_compaction_on_a_full_disk_keeps_the_old),
		TEST(test_compaction_whose_name_is_not_durable_is_final),
		TEST(test_power_cut_anywhere),
		TEST(test_reading_changes_nothing),
	};

	return cmocka_run_group_tests_name("spool settle", tests, NULL, NULL);
}
