/* pdu_int.h - PDUs of association establishment. Pure: bytes in, a verdict out.
 *
 * pdu.c is the fence in front of DCMTK: what an A-ASSOCIATE-RQ must be before it is
 * let through. pdu_call.c is what calling needs: it writes one, and reads the
 * answer.
 */
#ifndef CW_ASSOCIATION_PDU_INT_H
#define CW_ASSOCIATION_PDU_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/dicom/uid.h"

#define PDU_HEAD 6

enum pdu_type {		/* PS3.8 section 9.3 */
	PDU_ASSOCIATE_RQ = 1, PDU_ASSOCIATE_AC, PDU_ASSOCIATE_RJ, PDU_DATA,
	PDU_RELEASE_RQ, PDU_RELEASE_RP, PDU_ABORT,
};

#define PDU_REQUEST_MAX (1024 * 1024)	/* body of an A-ASSOCIATE-RQ or -AC */

static inline uint32_t
pdu_length(const uint8_t head[PDU_HEAD])
{
	return (uint32_t)head[2] << 24 | (uint32_t)head[3] << 16 |
	    (uint32_t)head[4] << 8 | head[5];
}

#define PDU_SYNTAXES_MAX 8192	/* in all contexts: DCMTK takes 160 bytes for each */

/* What DCMTK reads over in an A-ASSOCIATE-RQ. */
#define PDU_PROVED_MAX 128
struct pdu_extras {
	bool	 wants_async;
	uint8_t	 user_identity;
	unsigned n_proved;	/* abstract syntaxes that are storage (0x57) */
	char	 proved[PDU_PROVED_MAX][DICOM_UID_MAX + 1];
};

/* Walks the whole PDU, header included: every length must fit into what holds
 * it, contexts 1 to 128 of them, each with an abstract and at least one transfer
 * syntax. Items that DCMTK mishandles are renamed in place to a type that it
 * skips. 0, or -EPROTO with *ret_why for people. */
int pdu_check_request(uint8_t *pdu, size_t len, struct pdu_extras *ret,
    const char **ret_why);

/* ---- calling -------------------------------------------------------------- */

struct assoc_call;
struct buf;

/* Appends the A-ASSOCIATE-RQ. Errors are the buffer's. */
int pdu_write_request(struct buf *b, const struct assoc_call *call);

struct pdu_accept {
	uint32_t max_pdu;		/* 0: it takes any */
	char	 implementation_uid[DICOM_UID_MAX + 1];
	char	 implementation_version[16 + 1];
	struct pdu_accepted {		/* by id / 2 */
		bool	 answered;
		uint8_t	 result;
		char	 syntax[DICOM_UID_MAX + 1];	/* "" if there is none */
	} context[128];
	unsigned n_roles;
	struct pdu_role {
		char	 abstract_syntax[DICOM_UID_MAX + 1];
		bool	 scu, scp;
	} role[PDU_PROVED_MAX];
};
/* A whole A-ASSOCIATE-AC, header included. 0, or -EPROTO with *ret_why. */
int pdu_read_accept(const uint8_t *pdu, size_t len, struct pdu_accept *ret,
    const char **ret_why);
/* The codes of an A-ASSOCIATE-RJ for people, to follow "HOST:PORT". */
void pdu_explain_reject(uint8_t result, uint8_t source, uint8_t reason,
    const char *calling, const char *called, struct buf *why);

#endif
