/* uid.h - UIDs, titles and what PS3.6 says of them.
 *
 * Predicates for strings from the wire. DICOM pads with NUL (UI) or space; all
 * comparisons here are made on trimmed text. A title counts by case (rule 16).
 */
#ifndef CW_DICOM_UID_H
#define CW_DICOM_UID_H

#include <stdbool.h>
#include <stddef.h>

#define DICOM_UID_MAX	64	/* PS3.5 section 9.1 */
#define DICOM_TITLE_MAX 16	/* PS3.5 table 6.2-1, AE */

/* Our own: below a UUID-derived root (PS3.5 B.2); fixed for ever, because the
 * header that leaves must be the same whichever way an image came (rule 10). */
#define DICOM_IMPLEMENTATION_UID     "2.25.190146813542906871356718290134087652411"
#define DICOM_IMPLEMENTATION_VERSION "CAUSEWAY"

#define DICOM_UID_VERIFICATION	    "1.2.840.10008.1.1"
#define DICOM_UID_STORAGE_SERVICE   "1.2.840.10008.4.2"
#define DICOM_UID_IMPLICIT_LE	    "1.2.840.10008.1.2"
#define DICOM_UID_EXPLICIT_LE	    "1.2.840.10008.1.2.1"
#define DICOM_UID_DEFLATED_LE	    "1.2.840.10008.1.2.1.99"
#define DICOM_UID_EXPLICIT_BE	    "1.2.840.10008.1.2.2"

/* Copies src[0..len) without the padding around it (NUL and space, both ends)
 * into dst of dst_size bytes, NUL-terminated. -EMSGSIZE when it does not fit,
 * -EINVAL when a NUL remains inside. */
int dicom_trim(const void *src, size_t len, char *dst, size_t dst_size);

/* A UUID of random numbers below 2.25 (PS3.5 B.2). -EIO: there are none. */
int  dicom_uid_new(char ret[DICOM_UID_MAX + 1]);
bool dicom_uid_ok(const char *uid);	   /* well-formed by PS3.5 9.1 */
bool dicom_uid_tolerable(const char *uid); /* 1..64 printable, no space (rule 15) */
bool dicom_title_ok(const char *title);	   /* 1..16 printable ASCII, no backslash */

/* `*` and `?` (one character of UTF-8), case-sensitive; for configuration. */
bool dicom_glob_match(const char *pattern, const char *text);

/* How data sets look in a transfer syntax. */
enum dicom_encoding {
	DICOM_IMPLICIT_LE,
	DICOM_EXPLICIT_LE,
	DICOM_EXPLICIT_BE,
	DICOM_DEFLATED_LE,	/* explicit LE inside raw deflate */
};

struct dicom_syntax {
	const char *uid;
	const char *name;
	enum dicom_encoding encoding;
	bool encapsulated;	/* Pixel Data in fragments */
	bool lossy;		/* the syntax implies or allows lossy compression and
				 * is not one of the lossless ones of rule 12 */
	bool referenced;	/* JPIP and other pixels kept elsewhere: refused */
	int  preference;	/* rule 12: smaller is taken first */
};

/* Never NULL. An unknown UID (private, or newer than us) is answered with an
 * explicit little endian, encapsulated, not-to-be-touched entry whose name is
 * "private transfer syntax"; GE's 1.2.840.113619.5.2 is implicit with big-endian
 * pixels and known as such. */
const struct dicom_syntax *dicom_syntax_find(const char *uid);
bool dicom_syntax_known(const char *uid);
/* The table, for docs and tests; ends with uid == NULL. */
const struct dicom_syntax *dicom_syntax_table(void);
/* May we re-encode out of it: implicit, explicit LE or BE, deflated. */
bool dicom_syntax_convertible(const struct dicom_syntax *s);

enum dicom_service {
	DICOM_SERVICE_VERIFICATION,
	DICOM_SERVICE_STORAGE,	/* listed as such, or unknown to PS3.6 (rule 14) */
	DICOM_SERVICE_QUERY,	/* C-FIND, C-MOVE, C-GET of both roots */
	DICOM_SERVICE_COMMITMENT,
	DICOM_SERVICE_OTHER,	/* print, worklist, MPPS, UPS, ... : refused */
};
enum dicom_service dicom_service_of(const char *abstract_syntax);
/* "CT Image Storage", or NULL. */
const char *dicom_uid_name(const char *uid);
/* "CTImageStorage"; retired ones have the keyword of what replaced them. */
bool dicom_uid_has_keyword(const char *uid, const char *keyword);
bool dicom_keyword_known(const char *keyword);

#endif
