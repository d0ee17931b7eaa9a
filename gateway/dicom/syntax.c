/* syntax.c - every transfer syntax of PS3.6 table A-1, and in which order they
 * are taken when a presentation context offers several (rule 12).
 *
 * What is not in the table is private or newer than this program: it is carried
 * as it is and never opened beyond its head.
 */
#include <string.h>

#include "gateway/dicom/uid.h"

/* Gaps, so that a syntax to come finds its place. */
enum preference {
	PREFER_EXPLICIT = 10,
	PREFER_IMPLICIT = 20,
	PREFER_JPEG = 30,
	PREFER_JPEG_LS = 40,
	PREFER_JPEG_2000 = 50,
	PREFER_HTJ2K = 60,
	PREFER_RLE = 70,
	PREFER_JPEG_XL = 80,
	PREFER_OTHER_LOSSLESS = 90,
	PREFER_DEFLATED = 100,
	PREFER_BIG_ENDIAN = 110,
	PREFER_PRIVATE = 120,
	PREFER_LOSSY = 200,	/* only when nothing else is offered */
	PREFER_NEVER = 900,
};

/* Encapsulated ones look alike but for their pixels. */
#define LOSSLESS(uid, name, preference) \
	{ uid, name, DICOM_EXPLICIT_LE, true, false, false, preference }
#define LOSSY(uid, name) \
	{ uid, name, DICOM_EXPLICIT_LE, true, true, false, PREFER_LOSSY }
#define NATIVE(uid, name, encoding, preference) \
	{ uid, name, encoding, false, false, false, preference }
#define REFERENCED(uid, name, encoding) \
	{ uid, name, encoding, false, false, true, PREFER_NEVER }

#define JPEG "1.2.840.10008.1.2.4."

static const struct dicom_syntax syntaxes[] = {
	NATIVE(DICOM_UID_EXPLICIT_LE, "Explicit VR Little Endian",
	    DICOM_EXPLICIT_LE, PREFER_EXPLICIT),
	NATIVE(DICOM_UID_IMPLICIT_LE, "Implicit VR Little Endian",
	    DICOM_IMPLICIT_LE, PREFER_IMPLICIT),

	LOSSLESS(JPEG "70", "JPEG Lossless, SV1", PREFER_JPEG),
	LOSSLESS(JPEG "57", "JPEG Lossless (14)", PREFER_JPEG + 1),
	LOSSLESS(JPEG "58", "JPEG Lossless (15)", PREFER_JPEG + 2),
	LOSSLESS(JPEG "65", "JPEG Lossless, Hierarchical (28)", PREFER_JPEG + 3),
	LOSSLESS(JPEG "66", "JPEG Lossless, Hierarchical (29)", PREFER_JPEG + 4),
	LOSSLESS(JPEG "80", "JPEG-LS Lossless", PREFER_JPEG_LS),
	LOSSLESS(JPEG "90", "JPEG 2000 Lossless", PREFER_JPEG_2000),
	LOSSLESS(JPEG "92", "JPEG 2000 Part 2 Multi-component Lossless",
	    PREFER_JPEG_2000 + 1),
	LOSSLESS(JPEG "201", "HTJ2K Lossless", PREFER_HTJ2K),
	LOSSLESS(JPEG "202", "HTJ2K Lossless RPCL", PREFER_HTJ2K + 1),
	LOSSLESS("1.2.840.10008.1.2.5", "RLE Lossless", PREFER_RLE),
	LOSSLESS(JPEG "110", "JPEG XL Lossless", PREFER_JPEG_XL),
	LOSSLESS("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression",
	    PREFER_OTHER_LOSSLESS),
	LOSSLESS("1.2.840.10008.1.2.1.98",
	    "Encapsulated Uncompressed Explicit VR Little Endian",
	    PREFER_OTHER_LOSSLESS + 1),

	NATIVE(DICOM_UID_DEFLATED_LE, "Deflated Explicit VR Little Endian",
	    DICOM_DEFLATED_LE, PREFER_DEFLATED),
	NATIVE(DICOM_UID_EXPLICIT_BE, "Explicit VR Big Endian",
	    DICOM_EXPLICIT_BE, PREFER_BIG_ENDIAN),
	NATIVE("1.2.840.113619.5.2", "GE Implicit VR with Big Endian Pixels",
	    DICOM_IMPLICIT_LE, PREFER_PRIVATE),
	NATIVE("1.2.840.10008.1.20", "Papyrus 3 Implicit VR Little Endian",
	    DICOM_IMPLICIT_LE, PREFER_PRIVATE + 1),

	LOSSY(JPEG "50", "JPEG Baseline (1)"),
	LOSSY(JPEG "51", "JPEG Extended (2, 4)"),
	LOSSY(JPEG "52", "JPEG Extended (3, 5)"),
	LOSSY(JPEG "53", "JPEG Spectral Selection (6, 8)"),
	LOSSY(JPEG "54", "JPEG Spectral Selection (7, 9)"),
	LOSSY(JPEG "55", "JPEG Full Progression (10, 12)"),
	LOSSY(JPEG "56", "JPEG Full Progression (11, 13)"),
	LOSSY(JPEG "59", "JPEG Extended, Hierarchical (16, 18)"),
	LOSSY(JPEG "60", "JPEG Extended, Hierarchical (17, 19)"),
	LOSSY(JPEG "61", "JPEG Spectral Selection, Hierarchical (20, 22)"),
	LOSSY(JPEG "62", "JPEG Spectral Selection, Hierarchical (21, 23)"),
	LOSSY(JPEG "63", "JPEG Full Progression, Hierarchical (24, 26)"),
	LOSSY(JPEG "64", "JPEG Full Progression, Hierarchical (25, 27)"),
	LOSSY(JPEG "81", "JPEG-LS Near-Lossless"),
	LOSSY(JPEG "91", "JPEG 2000"),
	LOSSY(JPEG "93", "JPEG 2000 Part 2 Multi-component"),
	LOSSY(JPEG "203", "HTJ2K"),
	LOSSY(JPEG "111", "JPEG XL JPEG Recompression"),
	LOSSY(JPEG "112", "JPEG XL"),
	LOSSY(JPEG "100", "MPEG2 Main Profile / Main Level"),
	LOSSY(JPEG "100.1", "Fragmentable MPEG2 Main Profile / Main Level"),
	LOSSY(JPEG "101", "MPEG2 Main Profile / High Level"),
	LOSSY(JPEG "101.1", "Fragmentable MPEG2 Main Profile / High Level"),
	LOSSY(JPEG "102", "MPEG-4 AVC/H.264 High Profile / Level 4.1"),
	LOSSY(JPEG "102.1",
	    "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1"),
	LOSSY(JPEG "103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
	LOSSY(JPEG "103.1",
	    "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1"),
	LOSSY(JPEG "104", "MPEG-4 AVC/H.264 High Profile / Level 4.2, 2D"),
	LOSSY(JPEG "104.1",
	    "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2, 2D"),
	LOSSY(JPEG "105", "MPEG-4 AVC/H.264 High Profile / Level 4.2, 3D"),
	LOSSY(JPEG "105.1",
	    "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2, 3D"),
	LOSSY(JPEG "106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
	LOSSY(JPEG "106.1",
	    "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2"),
	LOSSY(JPEG "107", "HEVC/H.265 Main Profile / Level 5.1"),
	LOSSY(JPEG "108", "HEVC/H.265 Main 10 Profile / Level 5.1"),

	REFERENCED(JPEG "94", "JPIP Referenced", DICOM_EXPLICIT_LE),
	REFERENCED(JPEG "95", "JPIP Referenced Deflate", DICOM_DEFLATED_LE),
	REFERENCED(JPEG "204", "JPIP HTJ2K Referenced", DICOM_EXPLICIT_LE),
	REFERENCED(JPEG "205", "JPIP HTJ2K Referenced Deflate", DICOM_DEFLATED_LE),
	/* Their pixels are in the flows of PS3.22. */
	REFERENCED("1.2.840.10008.1.2.7.1",
	    "SMPTE ST 2110-20 Uncompressed Progressive Active Video",
	    DICOM_EXPLICIT_LE),
	REFERENCED("1.2.840.10008.1.2.7.2",
	    "SMPTE ST 2110-20 Uncompressed Interlaced Active Video",
	    DICOM_EXPLICIT_LE),
	REFERENCED("1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio",
	    DICOM_EXPLICIT_LE),
	/* Retired, and never how a data set is written: refused likewise. */
	REFERENCED("1.2.840.10008.1.2.6.1", "RFC 2557 MIME encapsulation",
	    DICOM_EXPLICIT_LE),
	REFERENCED("1.2.840.10008.1.2.6.2", "XML Encoding", DICOM_EXPLICIT_LE),
	{ .uid = NULL },
};

static const struct dicom_syntax private_syntax =
    LOSSLESS("", "private transfer syntax", PREFER_PRIVATE + 2);

static const struct dicom_syntax *
find_syntax(const char *uid)
{
	for (const struct dicom_syntax *s = syntaxes; s->uid != NULL; s++) {
		if (strcmp(s->uid, uid) == 0)
			return s;
	}
	return NULL;
}

const struct dicom_syntax *
dicom_syntax_find(const char *uid)
{
	const struct dicom_syntax *s = find_syntax(uid);

	return s != NULL ? s : &private_syntax;
}

bool
dicom_syntax_known(const char *uid)
{
	return find_syntax(uid) != NULL;
}

const struct dicom_syntax *
dicom_syntax_table(void)
{
	return syntaxes;
}

bool
dicom_syntax_convertible(const struct dicom_syntax *s)
{
	return strcmp(s->uid, DICOM_UID_IMPLICIT_LE) == 0 ||
	    strcmp(s->uid, DICOM_UID_EXPLICIT_LE) == 0 ||
	    strcmp(s->uid, DICOM_UID_DEFLATED_LE) == 0 ||
	    strcmp(s->uid, DICOM_UID_EXPLICIT_BE) == 0;
}
