/* index_schema.c - the tables of the index and how they came to be.
 *
 * A migration is never edited once it was released: the next one is added
 * behind it, and INDEX_VERSION is their number. Columns that hold attributes
 * are named by DICOM_HEAD (gateway/dicom/head.h): NAME is UTF-8, NAME_raw the
 * bytes as sent in `charset`, NAME_fold what searches compare.
 *
 * Counters are maintained by the code in the transaction that changes what they
 * count, so that no list has to count:
 *
 *   study.pending, unrouted	its instances with that todo
 *   study.kept, kept_bytes	its instances whose bytes are here
 *   study.owed ...		its deliveries; owed: owed or sent; delivered: with
 *				or without a warning
 *   study_delivery, destination	deliveries by state; owed_bytes: owed or sent
 *   segment.live, live_bytes	instances whose bytes are in it
 *
 * study_delivery.turn is the study's priority while something of it is owed (not only
 * sent) and the study is not held, else NULL; with the study's source it is the queue
 * of a destination. Triggers keep both, because four things change them, and the one
 * that is hot (a delivery) seldom does.
 *
 * instance.todo is 0 pending, 1 unrouted, NULL routed. instance.done is NULL
 * while anything is pending, unrouted, owed, sent or refused, else the time of
 * the last change of its deliveries. delivery.state is enum spool_delivery;
 * destination 0 stands for "nowhere": what was let go before it had a
 * destination. delivery.again: the same bytes came once more, and if routing
 * names this destination, it is owed again. delivery.job is set while it is sent,
 * and only then, and names a row of job. delivery.remote stays, whatever becomes
 * of it, but for a refusal that names none: there is nothing to accept (rule 5). A
 * note is of a delivery that is owed. The record on the disk alone keeps the boot
 * clock of an arrival: silence is counted anew after a start.
 *
 * Foreign keys are not declared: the one writer keeps them, on the hot path each
 * would cost one more search, and the tests recount everything.
 */
#include "spool/index_sql_int.h"

static const char version_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"

    "CREATE TABLE uid ("	/* SOP classes and transfer syntaxes */
    " id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);"

    "CREATE TABLE source ("
    " id INTEGER PRIMARY KEY, calling TEXT NOT NULL, called TEXT NOT NULL,"
    " address TEXT NOT NULL, UNIQUE (calling, called, address));"

    "CREATE TABLE destination ("
    " id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " held INTEGER NOT NULL DEFAULT 0,"
    " owed INTEGER NOT NULL DEFAULT 0, sent INTEGER NOT NULL DEFAULT 0,"
    " delivered INTEGER NOT NULL DEFAULT 0,"
    " warned INTEGER NOT NULL DEFAULT 0,"
    " refused INTEGER NOT NULL DEFAULT 0,"
    " let_go INTEGER NOT NULL DEFAULT 0,"
    " owed_bytes INTEGER NOT NULL DEFAULT 0);"
    "INSERT INTO destination (id, name) VALUES (0, '');"

    "CREATE TABLE segment ("
    " id INTEGER PRIMARY KEY, generation INTEGER NOT NULL,"
    " state INTEGER NOT NULL,"
    " live INTEGER NOT NULL DEFAULT 0,"
    " live_bytes INTEGER NOT NULL DEFAULT 0);"

    /* Ids are not used again: other threads remember studies by them. */
    "CREATE TABLE study ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE,"
    " digest INTEGER NOT NULL DEFAULT 0,"
    " modalities TEXT NOT NULL DEFAULT '',"
    " source INTEGER NOT NULL,"
    " priority INTEGER NOT NULL,"
    " commanded INTEGER NOT NULL DEFAULT 0,"	/* priority by an operator */
    " held INTEGER NOT NULL DEFAULT 0,"
    " first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,"
    " series INTEGER NOT NULL DEFAULT 0,"
    " instances INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0,"
    " kept INTEGER NOT NULL DEFAULT 0,"
    " kept_bytes INTEGER NOT NULL DEFAULT 0,"
    " pending INTEGER NOT NULL DEFAULT 0,"
    " unrouted INTEGER NOT NULL DEFAULT 0,"
    " damaged INTEGER NOT NULL DEFAULT 0,"
    " owed INTEGER NOT NULL DEFAULT 0,"
    " delivered INTEGER NOT NULL DEFAULT 0,"
    " refused INTEGER NOT NULL DEFAULT 0,"
    " let_go INTEGER NOT NULL DEFAULT 0,"
    " state INTEGER AS (CASE"			/* enum spool_study_state */
    "  WHEN refused > 0 THEN 0 WHEN unrouted > 0 THEN 1"
    "  WHEN held <> 0 THEN 2 WHEN pending > 0 THEN 3"
    "  WHEN owed > 0 THEN 4 WHEN delivered > 0 THEN 5 ELSE 6 END) VIRTUAL);"
    "CREATE INDEX study_state ON study (state);"

    "CREATE TABLE study_head ("
    " study INTEGER PRIMARY KEY, charset TEXT,"
    " study_date TEXT, study_time TEXT,"
    " accession TEXT, accession_raw BLOB, accession_fold TEXT,"
    " referring TEXT, referring_raw BLOB, referring_fold TEXT,"
    " referring_fold_ideographic TEXT, referring_fold_phonetic TEXT,"
    " study_description TEXT, study_description_raw BLOB,"
    " study_description_fold TEXT,"
    " study_id TEXT, study_id_raw BLOB,"
    " patient_name TEXT, patient_name_raw BLOB, patient_name_fold TEXT,"
    " patient_name_fold_ideographic TEXT, patient_name_fold_phonetic TEXT,"
    " patient_id TEXT, patient_id_raw BLOB, patient_id_fold TEXT,"
    " patient_issuer TEXT, patient_issuer_raw BLOB,"
    " patient_birth TEXT, patient_sex TEXT);"
    "CREATE INDEX study_accession ON study_head (accession)"
    " WHERE accession IS NOT NULL;"
    "CREATE INDEX study_patient ON study_head (patient_id)"
    " WHERE patient_id IS NOT NULL;"

    "CREATE TABLE series ("
    " id INTEGER PRIMARY KEY, study INTEGER NOT NULL, uid TEXT NOT NULL,"
    " digest INTEGER NOT NULL DEFAULT 0,"
    " instances INTEGER NOT NULL DEFAULT 0,"
    " charset TEXT, modality TEXT,"
    " station TEXT, station_raw BLOB,"
    " series_description TEXT, series_description_raw BLOB,"
    " series_description_fold TEXT,"
    " body_part TEXT, series_number TEXT,"
    " UNIQUE (study, uid));"

    "CREATE TABLE instance ("
    " id INTEGER PRIMARY KEY,"
    " study INTEGER NOT NULL, series INTEGER NOT NULL,"
    " uid TEXT NOT NULL, version INTEGER NOT NULL,"
    " sop_class INTEGER NOT NULL, syntax INTEGER NOT NULL,"
    " source INTEGER NOT NULL, arrived_ms INTEGER NOT NULL,"
    " segment INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " length INTEGER NOT NULL, checksum BLOB NOT NULL,"
    " kept INTEGER NOT NULL DEFAULT 1,"
    " damaged INTEGER NOT NULL DEFAULT 0,"
    " must_check INTEGER NOT NULL DEFAULT 0,"
    " todo INTEGER DEFAULT 0,"
    " done INTEGER,"
    " content_date TEXT, content_time TEXT, instance_number TEXT,"
    " frames TEXT, \"rows\" TEXT, \"columns\" TEXT,"
    " UNIQUE (uid, version));"
    "CREATE INDEX instance_study ON instance (study);"
    "CREATE INDEX instance_todo ON instance (todo, study)"
    " WHERE todo IS NOT NULL;"
    "CREATE INDEX instance_done ON instance (kept, done)"
    " WHERE done IS NOT NULL;"
    "CREATE INDEX instance_segment ON instance (segment) WHERE kept = 1;"

    "CREATE TABLE delivery ("
    " instance INTEGER NOT NULL, destination INTEGER NOT NULL,"
    " study INTEGER NOT NULL,"
    " state INTEGER NOT NULL, since_ms INTEGER NOT NULL,"
    " must_check INTEGER NOT NULL DEFAULT 0,"
    " replacing INTEGER NOT NULL DEFAULT 0,"
    " again INTEGER NOT NULL DEFAULT 0,"
    " reason TEXT, actor TEXT,"
    " PRIMARY KEY (instance, destination)) WITHOUT ROWID;"
    "CREATE INDEX delivery_owed ON delivery (destination, study, instance)"
    " WHERE state = 0;"
    "CREATE INDEX delivery_open ON delivery (destination, instance)"
    " WHERE state <= 1;"
    "CREATE INDEX delivery_refused ON delivery (destination, instance)"
    " WHERE state = 4;"

    "CREATE TABLE study_delivery ("
    " study INTEGER NOT NULL, destination INTEGER NOT NULL,"
    " owed INTEGER NOT NULL, sent INTEGER NOT NULL,"
    " delivered INTEGER NOT NULL, warned INTEGER NOT NULL,"
    " refused INTEGER NOT NULL, let_go INTEGER NOT NULL,"
    " reason TEXT,"				/* of the last refusal */
    " PRIMARY KEY (study, destination)) WITHOUT ROWID;";

static const char version_2[] =
    "CREATE TABLE job ("	/* ids are the spool's */
    " id INTEGER PRIMARY KEY, destination INTEGER NOT NULL,"
    " since_ms INTEGER NOT NULL, text TEXT NOT NULL);"

    "ALTER TABLE delivery ADD COLUMN job INTEGER;"
    "ALTER TABLE delivery ADD COLUMN remote TEXT;"
    "CREATE INDEX delivery_job ON delivery (job, instance)"
    " WHERE job IS NOT NULL;"

    "CREATE TABLE note ("
    " instance INTEGER NOT NULL, destination INTEGER NOT NULL,"
    " text TEXT NOT NULL, PRIMARY KEY (instance, destination));";

static const char version_3[] =
    "ALTER TABLE study_delivery ADD COLUMN turn INTEGER;"
    "ALTER TABLE study_delivery ADD COLUMN source INTEGER;"
    "UPDATE study_delivery SET (turn, source) ="
    " (SELECT CASE WHEN s.held = 0 THEN s.priority END, s.source"
    "  FROM study AS s WHERE s.id = study_delivery.study) WHERE owed > 0;"
    "CREATE INDEX study_delivery_queue"
    " ON study_delivery (destination, turn, source, study)"
    " WHERE turn IS NOT NULL;"

    "CREATE TRIGGER study_delivery_new AFTER INSERT ON study_delivery"
    " WHEN new.owed > 0 BEGIN"
    " UPDATE study_delivery SET (turn, source) ="
    "  (SELECT CASE WHEN s.held = 0 THEN s.priority END, s.source"
    "   FROM study AS s WHERE s.id = new.study)"
    "  WHERE study = new.study AND destination = new.destination; END;"

    "CREATE TRIGGER study_delivery_owed AFTER UPDATE OF owed ON study_delivery"
    " WHEN (new.owed > 0) <> (old.owed > 0) BEGIN"
    " UPDATE study_delivery SET (turn, source) ="
    "  (SELECT CASE WHEN new.owed > 0 AND s.held = 0 THEN s.priority END,"
    "   s.source FROM study AS s WHERE s.id = new.study)"
    "  WHERE study = new.study AND destination = new.destination; END;"

    "CREATE TRIGGER study_turn AFTER UPDATE OF held, priority, source ON study"
    " WHEN new.held <> old.held OR new.priority <> old.priority"
    " OR new.source <> old.source BEGIN"
    " UPDATE study_delivery SET turn = CASE WHEN owed > 0 AND new.held = 0"
    "  THEN new.priority END, source = new.source WHERE study = new.id; END;";

static const char *const migrations[INDEX_VERSION] = {
	version_1, version_2, version_3,
};

/* The numbers that stand in the texts above. */
static_assert(SPOOL_OWED == 0 && SPOOL_SENT == 1 && SPOOL_REFUSED == 4 &&
    SPOOL_STUDY_REFUSED == 0 && SPOOL_STUDY_UNROUTED == 1 &&
    SPOOL_STUDY_HELD == 2 && SPOOL_STUDY_RECEIVING == 3 &&
    SPOOL_STUDY_OWED == 4 && SPOOL_STUDY_DELIVERED == 5 &&
    SPOOL_STUDY_LET_GO == 6, "the schema knows the states by number");

int
schema_migrate(struct sql *q, int64_t version)
{
	char pragma[40];

	for (int64_t v = version; v < INDEX_VERSION; v++) {
		int r = sql_error(
		    sqlite3_exec(q->db, migrations[v], NULL, NULL, NULL));

		if (r < 0)
			return r;
	}
	(void)sqlite3_snprintf(sizeof(pragma), pragma,
	    "PRAGMA user_version = %d", INDEX_VERSION);
	return sql_error(sqlite3_exec(q->db, pragma, NULL, NULL, NULL));
}

int
schema_check(struct sql *q, int64_t version)
{
	int r;

	r = sql_run(q,
	    "SELECT 1 FROM meta, uid, source, destination, segment, study,"
	    " study_head, series, instance, delivery, study_delivery LIMIT 0");
	if (r == 0 && version >= 2)
		r = sql_run(q, "SELECT remote FROM delivery, job, note LIMIT 0");
	if (r == 0 && version >= 3)
		r = sql_run(q, "SELECT turn FROM study_delivery LIMIT 0");
	return r;
}
