/* owe.c - a spool that owes very much, for `make bench`.
 *
 *   owe SPOOL COUNT PER_STUDY PEERS DESTINATION...
 *
 * Adds COUNT instances to the index of a spool that no daemon has open, in studies of
 * PER_STUDY from as many peers, each owed to every DESTINATION. Their bytes are
 * nowhere: they are to wait, not to be sent, so the destinations have to be held,
 * closed, or down for the sake of what came before. Prints how many seconds it took.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "spool/files_int.h"
#include "spool/index_int.h"

#define IN_ONE	  5000	/* instances of one transaction */
#define LENGTH	  526000
#define WHOLE_DAY 86400000

struct owing {
	struct index *ix;
	uint64_t first, count, per_study, peers;
	const char *const *to;
	size_t n_to;
	int64_t began_ms;	/* wall: when the oldest came */
};

static _Noreturn void
fail(const char *what, int r)
{
	(void)fprintf(stderr, "owe: %s: %s\n", what, strerror(-r));
	exit(1);
}

static void
check(int r, const char *what)
{
	if (r < 0)
		fail(what, r);
}

static void __attribute__((format(printf, 3, 4)))
print(char *to, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(to, size, fmt, ap);
	va_end(ap);
}

static void
make_record(const struct owing *o, uint64_t i, struct record *r)
{
	uint64_t study = i / o->per_study;

	*r = (struct record){ .id = o->first + i, .length = LENGTH,
		.wall_ms = o->began_ms + (int64_t)(i * WHOLE_DAY / o->count) };
	r->head.priority = SPOOL_NORMAL;
	(void)memcpy(r->checksum, &r->id, sizeof(r->id));
	print(r->origin.calling, sizeof(r->origin.calling), "CT%" PRIu64,
	    study % o->peers);
	print(r->origin.called, sizeof(r->origin.called), "CAUSEWAY");
	print(r->origin.address, sizeof(r->origin.address), "10.0.0.1");
	print(r->head.sop_class, sizeof(r->head.sop_class),
	    "1.2.840.10008.5.1.4.1.1.2");
	print(r->head.syntax, sizeof(r->head.syntax), "%s", DICOM_UID_EXPLICIT_LE);
	print(r->study_uid, sizeof(r->study_uid), "2.25.%" PRIu64 "%030" PRIu64,
	    o->first, study);
	print(r->series_uid, sizeof(r->series_uid), "2.25.%" PRIu64 "1%030" PRIu64,
	    o->first, study);
	print(r->head.sop_instance, sizeof(r->head.sop_instance),
	    "2.25.%" PRIu64 "2%030" PRIu64, o->first, i);
}

static void
add_one(const struct owing *o, uint64_t i)
{
	static const struct dicom_head head;	/* of nobody */
	const struct store_place nowhere = { 0 };
	struct record r;
	uint64_t study;
	unsigned version;

	make_record(o, i, &r);
	check(index_add(o->ix, &r, &nowhere, &head, "", false, &study, &version),
	    "index_add");
	check(index_route(o->ix, r.id, o->to, o->n_to), "index_route");
}

static void
add_all(const struct owing *o)
{
	for (uint64_t i = 0; i < o->count; i++) {
		if (i % IN_ONE == 0)
			check(index_begin(o->ix), "index_begin");
		add_one(o, i);
		if (i % IN_ONE == IN_ONE - 1 || i == o->count - 1)
			check(index_commit(o->ix, false), "index_commit");
	}
}

/* The ids that are taken are the spool's to remember. */
static void
open_spool(const char *directory, struct owing *o)
{
	AUTO_CLOSE int dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf why = BUF_INIT(1000);
	struct identity id;
	bool created;

	check(dirfd, directory);
	check(identity_read(dirfd, &id), "SPOOL");
	o->first = id.floor;
	id.floor += o->count + 1;
	check(identity_write(dirfd, &id), "SPOOL");
	check(index_open(directory, id.uuid, &o->ix, &created, &why), "index.db");
	buf_free(&why);
}

int
main(int argc, char **argv)
{
	struct owing o = { .began_ms = clock_wall_ms() - WHOLE_DAY };
	int64_t start = clock_mono_ms();

	if (argc < 6) {
		(void)fprintf(stderr, "usage: owe SPOOL COUNT PER_STUDY PEERS "
		    "DESTINATION...\n");
		return 2;
	}
	o.count = strtoull(argv[2], NULL, 10);
	o.per_study = strtoull(argv[3], NULL, 10);
	o.peers = strtoull(argv[4], NULL, 10);
	o.to = (const char *const *)&argv[5];
	o.n_to = (size_t)argc - 5;
	if (o.count == 0 || o.per_study == 0 || o.peers == 0) {
		(void)fprintf(stderr, "owe: numbers above 0\n");
		return 2;
	}
	open_spool(argv[1], &o);
	add_all(&o);
	index_close(o.ix);
	(void)printf("%.3f\n", (double)(clock_mono_ms() - start) / 1e3);
	return 0;
}
