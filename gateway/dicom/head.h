/* head.h - the attributes of a data set that the index keeps, picked out of the
 * stream while it goes to disk.
 *
 * Adding one is a line in DICOM_HEAD (and a migration of the index). Values are
 * raw bytes as sent, trimmed of padding, the first max bytes of them, in a
 * fixed arena: a head costs the same whatever the peer sends. Only elements of
 * depth 0 count. Names, ids and dates in here are patient data: never log them.
 */
#ifndef CW_DICOM_HEAD_H
#define CW_DICOM_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/dicom/uid.h"
#include "gateway/dicom/vr.h"

enum dicom_level { DICOM_PATIENT, DICOM_STUDY, DICOM_SERIES, DICOM_INSTANCE };

/*  id, tag, level, column of the index, most bytes kept */
#define DICOM_HEAD(X)                                                           \
	X(CHARSET, 0x00080005, DICOM_STUDY, "charset", 128)                     \
	X(SOP_CLASS, 0x00080016, DICOM_INSTANCE, "sop_class", 64)               \
	X(SOP_INSTANCE, 0x00080018, DICOM_INSTANCE, "uid", 64)                  \
	X(STUDY_DATE, 0x00080020, DICOM_STUDY, "study_date", 16)                \
	X(CONTENT_DATE, 0x00080023, DICOM_INSTANCE, "content_date", 16)         \
	X(STUDY_TIME, 0x00080030, DICOM_STUDY, "study_time", 28)                \
	X(CONTENT_TIME, 0x00080033, DICOM_INSTANCE, "content_time", 28)         \
	X(ACCESSION, 0x00080050, DICOM_STUDY, "accession", 64)                  \
	X(MODALITY, 0x00080060, DICOM_SERIES, "modality", 16)                   \
	X(REFERRING, 0x00080090, DICOM_STUDY, "referring", 324)                 \
	X(STATION, 0x00081010, DICOM_SERIES, "station", 64)                     \
	X(STUDY_DESCRIPTION, 0x00081030, DICOM_STUDY, "study_description", 256) \
	X(SERIES_DESCRIPTION, 0x0008103e, DICOM_SERIES, "series_description",   \
	    256)                                                                \
	X(PATIENT_NAME, 0x00100010, DICOM_PATIENT, "patient_name", 324)         \
	X(PATIENT_ID, 0x00100020, DICOM_PATIENT, "patient_id", 256)             \
	X(PATIENT_ISSUER, 0x00100021, DICOM_PATIENT, "patient_issuer", 256)     \
	X(PATIENT_BIRTH, 0x00100030, DICOM_PATIENT, "patient_birth", 16)        \
	X(PATIENT_SEX, 0x00100040, DICOM_PATIENT, "patient_sex", 16)            \
	X(BODY_PART, 0x00180015, DICOM_SERIES, "body_part", 16)                 \
	X(STUDY_UID, 0x0020000d, DICOM_STUDY, "study_uid", 64)                  \
	X(SERIES_UID, 0x0020000e, DICOM_SERIES, "series_uid", 64)               \
	X(STUDY_ID, 0x00200010, DICOM_STUDY, "study_id", 64)                    \
	X(SERIES_NUMBER, 0x00200011, DICOM_SERIES, "series_number", 16)         \
	X(INSTANCE_NUMBER, 0x00200013, DICOM_INSTANCE, "instance_number", 16)   \
	X(FRAMES, 0x00280008, DICOM_INSTANCE, "frames", 16)                     \
	X(ROWS, 0x00280010, DICOM_INSTANCE, "rows", 8)                          \
	X(COLUMNS, 0x00280011, DICOM_INSTANCE, "columns", 8)

enum dicom_head_id {
#define X(id, tag, level, column, max) DICOM_HEAD_##id,
	DICOM_HEAD(X)
#undef X
	DICOM_HEAD_COUNT
};

struct dicom_head_spec {
	dicom_tag_t	 tag;
	enum dicom_level level;
	const char	*column;
	uint16_t	 max;
};
const struct dicom_head_spec *dicom_head_spec(enum dicom_head_id id);

#define DICOM_HEAD_ARENA 3072

/* Plain data, owned by value; US values (rows, columns) are kept as decimal
 * text. at[id] is the offset in arena, len[id] its length, present[id] tells
 * "there, perhaps empty" from "absent". Each value is NUL-terminated. */
struct dicom_head {
	uint16_t at[DICOM_HEAD_COUNT];
	uint16_t len[DICOM_HEAD_COUNT];
	bool	 present[DICOM_HEAD_COUNT];
	uint16_t used;
	char	 arena[DICOM_HEAD_ARENA];
};

/* "" when absent; *ret_len may be NULL. */
const char *dicom_head_get(const struct dicom_head *h, enum dicom_head_id id,
    size_t *ret_len);

/* Reads a head out of a stream in any transfer syntax: inflates (bounded),
 * scans, stops by itself behind the last tag of the table. */
struct dicom_head_reader;

struct dicom_head_reader *dicom_head_reader_new(const struct dicom_syntax *s);
void dicom_head_reader_free(struct dicom_head_reader *r);
/* Feed until it returns non-zero: 1 done (nothing more is needed), 0 go on,
 * -EBADMSG unreadable from here on; what was read so far stands. */
int dicom_head_reader_feed(struct dicom_head_reader *r, const void *data,
    size_t len);
/* The data set is over. 0, or -EBADMSG when it ended inside the head. */
int dicom_head_reader_end(struct dicom_head_reader *r);
const struct dicom_head *dicom_head_reader_head(const struct dicom_head_reader *r);
const char *dicom_head_reader_reason(const struct dicom_head_reader *r);

/* The three UIDs without which nothing can be found again. */
bool dicom_head_identified(const struct dicom_head *h);

#endif
