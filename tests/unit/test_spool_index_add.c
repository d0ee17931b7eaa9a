/* test_spool_index_add.c - arrivals, versions (rule 3), attributes in several
 * character sets (rule 27), and finding studies again (rule 35).
 */
#include "gateway/dicom/charset.h"
#include "tests/unit/index_fixture.h"

/* ---- what is known of a UID ---- */

static void
test_latest_and_same(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(10, 1, 1, 1), b = arrival(11, 1, 1, 1);
	struct index_known k;

	assert_int_equal(index_latest(f->ix, "1.2.1.1.1", &k), -ENOENT);
	(void)arrive(f, a);
	(void)arrive(f, b);
	assert_int_equal(index_latest(f->ix, "1.2.1.1.1", &k), 0);
	assert_int_equal(k.id, 11);
	assert_int_equal(k.version, 2);
	assert_int_equal(k.length, 1011);
	assert_memory_equal(k.checksum, b.rec.checksum, HASH_SIZE);
	assert_string_equal(k.syntax, DICOM_UID_EXPLICIT_LE);
	assert_true(k.kept && k.owed && !k.damaged);
	assert_int_equal(k.place.segment, b.at.segment);
	assert_int_equal(k.place.offset, b.at.offset);

	assert_int_equal(index_reader_same(f->r, "1.2.1.1.1", a.rec.length,
	    a.rec.checksum, &k), 0);
	assert_int_equal(k.id, 10);
	assert_int_equal(index_same(f->ix, "1.2.1.1.1", a.rec.length + 1,
	    a.rec.checksum, &k), -ENOENT);
	assert_int_equal(index_same(f->ix, "1.2.1.1.1", b.rec.length,
	    a.rec.checksum, &k), -ENOENT);
	assert_int_equal(index_reader_latest(f->r, "1.2", &k), -ENOENT);
}

static void
test_owed_of_known(void **state)
{
	struct fixture *f = *state;
	struct index_known k;

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(index_reader_latest(f->r, "1.2.1.1.1", &k), 0);
	assert_true(k.owed);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_SENT, 5), 0);
	assert_int_equal(index_reader_latest(f->r, "1.2.1.1.1", &k), 0);
	assert_true(k.owed);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_REFUSED, 6), 0);
	assert_int_equal(index_reader_latest(f->r, "1.2.1.1.1", &k), 0);
	assert_false(k.owed);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 7), 0);
	assert_int_equal(index_reader_latest(f->r, "1.2.1.1.1", &k), 0);
	assert_false(k.owed);
}

/* Rule 3: other bytes under a known UID are a version, and inherit the check. */
static void
test_rule_3_versions(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1), b = arrival(2, 1, 1, 1);
	struct spool_instance in;

	b.check = true;
	assert_int_equal(index_begin(f->ix), 0);
	assert_int_equal(arrive_in(f, &a, NULL), 0);
	assert_int_equal(arrive_in(f, &b, NULL), 0);
	assert_int_equal(index_commit(f->ix, false), 0);
	assert_int_equal(a.version, 1);
	assert_int_equal(b.version, 2);
	assert_int_equal(a.study, b.study);
	assert_int_equal(index_reader_instance(f->r, 2, &in, NULL, NULL), 0);
	assert_true(in.check);
	assert_int_equal(index_reader_instance(f->r, 1, &in, NULL, NULL), 0);
	assert_false(in.check);
	recount(f);
}

static void
test_instance_fields(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(7, 3, 4, 5);
	struct spool_instance in;
	struct store_place at;
	uint8_t sum[HASH_SIZE];
	uint64_t study;

	a.rec.head.priority = SPOOL_STAT;
	study = arrive(f, a);
	assert_int_equal(index_reader_instance(f->r, 7, &in, &at, sum), 0);
	assert_int_equal(in.id, 7);
	assert_int_equal(in.study, study);
	assert_int_equal(in.version, 1);
	assert_string_equal(in.sop_class, "1.2.840.10008.5.1.4.1.1.2");
	assert_string_equal(in.sop_instance, "1.2.3.4.5");
	assert_string_equal(in.study_uid, "1.2.3");
	assert_string_equal(in.series_uid, "1.2.3.4");
	assert_string_equal(in.syntax, DICOM_UID_EXPLICIT_LE);
	assert_string_equal(in.modality, "CT");
	assert_string_equal(in.origin.calling, "CT1");
	assert_string_equal(in.origin.called, "CAUSEWAY");
	assert_string_equal(in.origin.address, "10.1.2.3");
	assert_int_equal(in.priority, SPOOL_STAT);
	assert_int_equal(in.length, 1007);
	assert_int_equal(in.arrived_ms, 1000007);
	assert_true(in.kept && !in.damaged && !in.routed && !in.unrouted);
	assert_int_equal(at.segment, a.at.segment);
	assert_int_equal(at.offset, a.at.offset);
	assert_memory_equal(sum, a.rec.checksum, HASH_SIZE);
	assert_int_equal(index_reader_instance(f->r, 8, &in, &at, sum),
	    -ENOENT);
}

/* ---- studies ---- */

#define MAX_SEEN 400

struct seen {
	size_t	 n;
	uint64_t id[MAX_SEEN];
	char	 name[256], patient_id[256], accession[256], modalities[256],
		 description[256], date[32], calling[32];
	struct spool_study last;	/* without its texts */
	size_t	 stop_at;
};

#define KEEP(field, text) \
	(void)snprintf(seen->field, sizeof(seen->field), "%s", text)

static int
see_study(void *arg, const struct spool_study *s)
{
	struct seen *seen = arg;

	assert_true(seen->n < MAX_SEEN);
	seen->id[seen->n++] = s->id;
	seen->last = *s;
	KEEP(name, s->patient_name);
	KEEP(patient_id, s->patient_id);
	KEEP(accession, s->accession);
	KEEP(modalities, s->modalities);
	KEEP(description, s->description);
	KEEP(date, s->study_date);
	KEEP(calling, s->calling);
	return seen->stop_at > 0 && seen->n == seen->stop_at ? 77 : 0;
}

static struct seen
see_one(struct fixture *f, uint64_t id)
{
	struct seen seen = { 0 };

	assert_int_equal(index_reader_study(f->r, id, see_study, &seen), 0);
	assert_int_equal(seen.n, 1);
	return seen;
}

static struct seen
see_all(struct fixture *f, struct spool_filter filter)
{
	struct seen seen = { 0 };

	assert_int_equal(index_reader_studies(f->r, &filter, see_study, &seen),
	    0);
	return seen;
}

static void
test_study_counts(void **state)
{
	struct fixture *f = *state;
	struct arrive sr = arrival(3, 1, 2, 1);
	struct seen s;
	uint64_t id;

	(void)arrive(f, arrival(1, 1, 1, 1));
	(void)arrive(f, arrival(2, 1, 1, 2));
	sr.head = (struct dicom_head){ 0 };
	head_text(&sr.head, DICOM_HEAD_MODALITY, "SR");
	(void)snprintf(sr.rec.origin.calling, sizeof(sr.rec.origin.calling), "%s",
	    "WS9");
	id = arrive(f, sr);
	s = see_one(f, id);
	assert_int_equal(s.last.series, 2);
	assert_int_equal(s.last.instances, 3);
	assert_int_equal(s.last.bytes, 3006);
	assert_int_equal(s.last.pending, 3);
	assert_int_equal(s.last.kept, 3);
	assert_int_equal(s.last.state, SPOOL_STUDY_RECEIVING);
	assert_int_equal(s.last.first_arrival_ms, 1000001);
	assert_int_equal(s.last.last_arrival_ms, 1000003);
	assert_string_equal(s.modalities, "CT\\SR");
	assert_string_equal(s.calling, "WS9");
	assert_int_equal(index_reader_study(f->r, id, NULL, NULL), 0);
	assert_int_equal(index_reader_study(f->r, id + 1, NULL, NULL), -ENOENT);
	assert_int_equal(index_reader_study(f->r, UINT64_MAX, NULL, NULL),
	    -ENOENT);
	recount(f);
}

/* Those of the latest arrival that has them; a lack is no change. */
static void
test_latest_attributes(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1), b = arrival(2, 1, 1, 2),
	    c = arrival(3, 1, 1, 3);
	struct seen s;
	uint64_t id;

	head_text(&a.head, DICOM_HEAD_PATIENT_NAME, "Doe^Jane");
	head_text(&a.head, DICOM_HEAD_ACCESSION, "A1");
	head_text(&a.head, DICOM_HEAD_STUDY_DATE, "20260101");
	(void)arrive(f, a);
	head_text(&b.head, DICOM_HEAD_PATIENT_NAME, "Roe^Jane");
	head_text(&b.head, DICOM_HEAD_ACCESSION, "");
	id = arrive(f, b);
	s = see_one(f, id);
	assert_string_equal(s.name, "Roe^Jane");
	assert_string_equal(s.accession, "A1");
	assert_string_equal(s.date, "20260101");
	assert_int_equal(sql_ask(f, "SELECT patient_name_fold = 'roe^jane'"
	    " FROM study_head"), 1);

	head_text(&c.head, DICOM_HEAD_ACCESSION, "A2");
	(void)arrive(f, c);
	s = see_one(f, id);
	assert_string_equal(s.accession, "A2");
	assert_string_equal(s.name, "Roe^Jane");
	/* The first one's attributes once more: not taken for known. */
	a.rec.id = 4;
	(void)snprintf(a.rec.head.sop_instance, sizeof(a.rec.head.sop_instance), "%s",
	    "1.2.1.1.4");
	(void)arrive(f, a);
	s = see_one(f, id);
	assert_string_equal(s.name, "Doe^Jane");
	assert_string_equal(s.accession, "A1");
}

static void
test_bare_head(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1);
	struct seen s;

	a.head = (struct dicom_head){ 0 };
	s = see_one(f, arrive(f, a));
	assert_string_equal(s.name, "");
	assert_string_equal(s.modalities, "");
	assert_string_equal(s.accession, "");
}

/* ---- character sets ---- */

static const struct {
	const char *charset, *raw, *utf8;
} names[] = {
	{ "", "Adams^John", "Adams^John" },
	{ "ISO_IR 100", "Buc^J\xe9r\xf4me", "Buc^Jérôme" },
	{ "ISO_IR 144", "\xbb\xee\xda", "Люк" },
	{ "ISO_IR 192", "M\xc3\xbcller^\xc3\x84nne", "Müller^Änne" },
	{ "\\ISO 2022 IR 87", "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
	    "Yamada^Tarou=山田^太郎" },
	{ "GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab",
	    "Wang^XiaoDong=王^小东" },
	{ "\\ISO 2022 IR 149", "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
	    "Hong^Gildong=洪^吉洞" },
};

static void
test_names_in_many_sets(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct arrive a = arrival(i + 1, i + 1, 1, 1);
		struct seen s;

		head_text(&a.head, DICOM_HEAD_CHARSET, names[i].charset);
		head_text(&a.head, DICOM_HEAD_PATIENT_NAME, names[i].raw);
		s = see_one(f, arrive(f, a));
		assert_string_equal(s.name, names[i].utf8);
	}
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM study_head"
	    " WHERE patient_name_fold_ideographic = '山田^太郎'"
	    " AND patient_name_fold = 'yamada^tarou'"
	    " AND patient_name_fold_phonetic IS NULL"), 1);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM study_head"
	    " WHERE patient_name_fold = 'buc^jerome'"
	    " AND patient_name_raw = x'4275635e4ae972f46d65'"), 1);
}

/* Rule 27: for senders that omit or misstate it. */
static void
test_rule_27_assumed_charset(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1), b = arrival(2, 2, 1, 1);

	head_text(&a.head, DICOM_HEAD_PATIENT_NAME, "J\xe9r\xf4me");
	head_text(&b.head, DICOM_HEAD_CHARSET, "ISO_IR 144");
	head_text(&b.head, DICOM_HEAD_PATIENT_NAME, "J\xe9r\xf4me");
	assert_int_equal(index_begin(f->ix), 0);
	assert_int_equal(arrive_in(f, &a, "ISO_IR 100"), 0);
	assert_int_equal(arrive_in(f, &b, "ISO_IR 100"), 0);
	assert_int_equal(index_commit(f->ix, false), 0);
	assert_string_equal(see_one(f, a.study).name, "Jérôme");
	assert_string_equal(see_one(f, b.study).name, "Jérôme");
}

/* Raw bytes do not stay beside a character set that is not theirs. */
static void
test_charset_changes(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1), b = arrival(2, 1, 1, 2);

	head_text(&a.head, DICOM_HEAD_CHARSET, "ISO_IR 100");
	head_text(&a.head, DICOM_HEAD_PATIENT_NAME, "J\xe9r\xf4me");
	(void)arrive(f, a);
	head_text(&b.head, DICOM_HEAD_CHARSET, "ISO_IR 192");
	head_text(&b.head, DICOM_HEAD_STUDY_DESCRIPTION, "Sch\xc3\xa4" "del");
	assert_string_equal(see_one(f, arrive(f, b)).name, "Jérôme");
	assert_int_equal(sql_ask(f, "SELECT patient_name_raw IS NULL AND"
	    " charset = 'ISO_IR 192' AND study_description_raw IS NOT NULL"
	    " AND study_description_fold = 'schadel' FROM study_head"), 1);
}

/* ---- hostile values ---- */

static void
test_hostile_strings(void **state)
{
	static const char sql[] = "'); DROP TABLE study; --\"`%_\\";
	static const char nuls[] = "A\0B\0' OR 1=1";
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1);
	struct spool_instance in;
	struct seen s;

	a.head = (struct dicom_head){ 0 };
	head_text(&a.head, DICOM_HEAD_PATIENT_NAME, sql);
	head_text(&a.head, DICOM_HEAD_ACCESSION, "' OR '1'='1");
	head_put(&a.head, DICOM_HEAD_PATIENT_ID, nuls, sizeof(nuls) - 1);
	head_put(&a.head, DICOM_HEAD_MODALITY, "C\0\xff\n", 4);
	head_text(&a.head, DICOM_HEAD_CHARSET, "'; \xff\x1b");
	(void)snprintf(a.rec.origin.calling, sizeof(a.rec.origin.calling), "%s",
	    "'); DROP --");
	(void)snprintf(a.rec.head.sop_instance, sizeof(a.rec.head.sop_instance), "%s",
	    "1.2'; DELETE FROM study");
	(void)snprintf(a.rec.study_uid, sizeof(a.rec.study_uid), "%s",
	    "../../etc/passwd");
	s = see_one(f, arrive(f, a));
	assert_string_equal(s.name, sql);
	assert_string_equal(s.accession, "' OR '1'='1");
	assert_int_equal(strncmp(s.patient_id, "A", 1), 0);
	assert_non_null(strstr(s.patient_id, "' OR 1=1"));
	assert_string_equal(s.modalities, "C???");
	assert_string_equal(s.calling, "'); DROP --");
	assert_int_equal(index_reader_instance(f->r, 1, &in, NULL, NULL), 0);
	assert_string_equal(in.sop_instance, "1.2'; DELETE FROM study");

	s = see_all(f, (struct spool_filter){ .state = -1,
	    .accession = "' OR '1'='1" });
	assert_int_equal(s.n, 1);
	s = see_all(f, (struct spool_filter){ .state = -1,
	    .accession = "x' OR '1'='1" });
	assert_int_equal(s.n, 0);
	s = see_all(f, (struct spool_filter){ .state = -1,
	    .uid = "../../etc/passwd" });
	assert_int_equal(s.n, 1);
	recount(f);
}

/* The longest of everything, in the widest character set. */
static void
test_longest_values(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1);
	char value[400];

	memset(value, 0xff, sizeof(value));
	a.head = (struct dicom_head){ 0 };
	for (int id = 0; id < DICOM_HEAD_COUNT; id++)
		head_put(&a.head, id, value, dicom_head_spec(id)->max);
	(void)arrive(f, a);
	recount(f);
}

static void
test_many_modalities(void **state)
{
	struct fixture *f = *state;
	struct seen s;
	uint64_t id = 0;

	for (unsigned i = 1; i <= 200; i++) {
		struct arrive a = arrival(i, 1, i, 1);
		char modality[16];

		a.head = (struct dicom_head){ 0 };
		(void)snprintf(modality, sizeof(modality), "M%u", i);
		head_text(&a.head, DICOM_HEAD_MODALITY, modality);
		id = arrive(f, a);
	}
	s = see_one(f, id);
	assert_int_equal(s.last.series, 200);
	assert_int_equal(strncmp(s.modalities, "M1\\M2\\M3", 8), 0);
	assert_null(strstr(s.modalities, "M199"));
}

/* One series with images of two modalities: each of them counts for routes. */
static void
test_rule_1_mixed_series(void **state)
{
	struct fixture *f = *state;
	static const char *const said[] = { "CT", "SR", "CT" };
	struct seen s;
	uint64_t id = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct arrive a = arrival(i + 1, 1, 1, 1);

		a.head = (struct dicom_head){ 0 };
		head_text(&a.head, DICOM_HEAD_MODALITY, said[i]);
		id = arrive(f, a);
	}
	s = see_one(f, id);
	assert_string_equal(s.modalities, "CT\\SR");
}

/* ---- filters and pages ---- */

/* 150 studies; every third with accession "A<n>", every tenth of patient P1. */
static void
fill_studies(struct fixture *f)
{
	assert_int_equal(index_begin(f->ix), 0);
	for (unsigned i = 1; i <= 150; i++) {
		struct arrive a = arrival(i, i, 1, 1);
		char text[16];

		(void)snprintf(text, sizeof(text), "A%u", i);
		if (i % 3 == 0)
			head_text(&a.head, DICOM_HEAD_ACCESSION, text);
		head_text(&a.head, DICOM_HEAD_PATIENT_ID,
		    i % 10 == 0 ? "P1" : text);
		if (i % 2 == 0)
			(void)snprintf(a.rec.origin.calling, sizeof(a.rec.origin.calling), "%s",
			    "MR1");
		assert_int_equal(arrive_in(f, &a, ""), 0);
	}
	assert_int_equal(index_commit(f->ix, false), 0);
}

static void
test_filters(void **state)
{
	struct fixture *f = *state;
	struct seen s;

	fill_studies(f);
	s = see_all(f, (struct spool_filter){ .state = -1 });
	assert_int_equal(s.n, 150);
	for (size_t i = 1; i < s.n; i++)
		assert_true(s.id[i] < s.id[i - 1]);
	s = see_all(f, (struct spool_filter){ .state = -1, .uid = "1.2.77" });
	assert_int_equal(s.n, 1);
	s = see_all(f, (struct spool_filter){ .state = -1, .accession = "A9" });
	assert_int_equal(s.n, 1);
	s = see_all(f, (struct spool_filter){ .state = -1, .accession = "a9" });
	assert_int_equal(s.n, 0);
	s = see_all(f, (struct spool_filter){ .state = -1, .patient_id = "P1" });
	assert_int_equal(s.n, 15);
	s = see_all(f, (struct spool_filter){ .state = -1, .patient_id = "P1",
	    .accession = "A30" });
	assert_int_equal(s.n, 1);
	s = see_all(f, (struct spool_filter){ .state = -1, .calling = "MR1" });
	assert_int_equal(s.n, 75);
	s = see_all(f, (struct spool_filter){ .state = -1,
	    .since_ms = 1000141 });
	assert_int_equal(s.n, 10);
	s = see_all(f, (struct spool_filter){ .state = -1, .calling = "MR1",
	    .since_ms = 1000141, .patient_id = "P1" });
	assert_int_equal(s.n, 1);
	s = see_all(f, (struct spool_filter){ .state = SPOOL_STUDY_RECEIVING });
	assert_int_equal(s.n, 150);
	s = see_all(f, (struct spool_filter){ .state = SPOOL_STUDY_OWED });
	assert_int_equal(s.n, 0);
}

static void
test_pages(void **state)
{
	struct fixture *f = *state;
	struct spool_filter filter = { .state = -1, .limit = 40 };
	struct seen s, stopped = { .stop_at = 3 };
	size_t total = 0;

	fill_studies(f);
	do {
		s = see_all(f, filter);
		total += s.n;
		if (s.n > 0)
			filter.before_id = s.id[s.n - 1];
	} while (s.n == filter.limit);
	assert_int_equal(total, 150);

	filter = (struct spool_filter){ .state = -1 };
	assert_int_equal(index_reader_studies(f->r, &filter, see_study,
	    &stopped), 77);
	assert_int_equal(stopped.n, 3);
}

/* ---- states ---- */

static void
test_states(void **state)
{
	struct fixture *f = *state;
	uint64_t id = arrive(f, arrival(1, 1, 1, 1));

	(void)arrive(f, arrival(2, 1, 1, 2));
#define EXPECT(s)                                                       \
	do {                                                            \
		assert_int_equal(see_one(f, id).last.state, s);         \
		assert_int_equal(see_all(f, (struct spool_filter){      \
		    .state = s }).n, 1);                                \
	} while (0)
	EXPECT(SPOOL_STUDY_RECEIVING);
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	EXPECT(SPOOL_STUDY_RECEIVING);
	assert_int_equal(route_to(f, 2, NULL), 0);
	EXPECT(SPOOL_STUDY_UNROUTED);
	assert_int_equal(route_to(f, 2, "cloud"), 0);
	EXPECT(SPOOL_STUDY_OWED);
	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "1.2.1",
	    true)), 0);
	EXPECT(SPOOL_STUDY_HELD);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_REFUSED, 9), 0);
	EXPECT(SPOOL_STUDY_REFUSED);
	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "1.2.1",
	    false)), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_LET_GO, 10), 0);
	EXPECT(SPOOL_STUDY_OWED);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_SENT, 11), 0);
	EXPECT(SPOOL_STUDY_OWED);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_WARNED, 12), 0);
	EXPECT(SPOOL_STUDY_DELIVERED);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_LET_GO, 13), 0);
	EXPECT(SPOOL_STUDY_LET_GO);
#undef EXPECT
	recount(f);
}

static void
test_state_names(void **state)
{
	enum spool_study_state s;

	(void)state;
	for (int i = 0; i < SPOOL_STUDY_STATES; i++) {
		assert_int_equal(spool_study_state_parse(
		    spool_study_state_name(i), &s), 0);
		assert_int_equal(s, i);
	}
	assert_int_equal(spool_study_state_parse("let-go", &s), 0);
	assert_int_equal(s, SPOOL_STUDY_LET_GO);
	assert_int_equal(spool_study_state_parse("Refused", &s), -EINVAL);
	assert_int_equal(spool_study_state_parse("", &s), -EINVAL);
	for (int i = 0; i < SPOOL_DELIVERY_STATES; i++)
		assert_true(spool_delivery_name(i)[0] != '\0');
}

static void
test_priority(void **state)
{
	struct fixture *f = *state;
	struct arrive stat = arrival(2, 1, 1, 2), late = arrival(3, 1, 1, 3);
	uint64_t id = arrive(f, arrival(1, 1, 1, 1));

	assert_int_equal(see_one(f, id).last.priority, SPOOL_NORMAL);
	stat.rec.head.priority = late.rec.head.priority = SPOOL_STAT;
	(void)arrive(f, stat);
	assert_int_equal(see_one(f, id).last.priority, SPOOL_STAT);
	assert_int_equal(IN_TRANSACTION(f, index_study_priority(f->ix, "1.2.1",
	    SPOOL_LOW)), 0);
	(void)arrive(f, late);
	assert_int_equal(see_one(f, id).last.priority, SPOOL_LOW);
	assert_int_equal(IN_TRANSACTION(f, index_study_priority(f->ix, "9",
	    SPOOL_LOW)), -ENOENT);
	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "9", true)),
	    -ENOENT);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_latest_and_same),
		T(test_owed_of_known),
		T(test_rule_3_versions),
		T(test_instance_fields),
		T(test_study_counts),
		T(test_latest_attributes),
		T(test_bare_head),
		T(test_names_in_many_sets),
		T(test_rule_27_assumed_charset),
		T(test_charset_changes),
		T(test_hostile_strings),
		T(test_longest_values),
		T(test_many_modalities),
		T(test_rule_1_mixed_series),
		T(test_filters),
		T(test_pages),
		T(test_states),
		T(test_state_names),
		T(test_priority),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
