/* shim_int.h - DCMTK's upper layer (DUL) behind C: the request of an association and
 * the answer to it.
 *
 * Everything that can be C is in assoc.c, receive.c and pdu.c; here is what must
 * touch DCMTK's types. A struct dul belongs to one thread. Functions return 0 or a
 * negative errno, and dul_reason() tells what DCMTK said.
 */
#ifndef CW_ASSOCIATION_SHIM_INT_H
#define CW_ASSOCIATION_SHIM_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dul;
struct stream;

int dul_global_init(void);	/* once, before any thread */

struct dul *dul_new(struct stream *s);
void	    dul_free(struct dul *d);	/* takes NULL */
const char *dul_reason(const struct dul *d);

/* The stream holds a whole A-ASSOCIATE-RQ that pdu_check_request() passed. */
int dul_receive(struct dul *d);

struct dul_parameters {		/* raw as DCMTK keeps it; valid while d lives */
	const char *application, *calling, *called;
	const char *implementation_uid, *implementation_version;
	uint32_t    max_pdu;
};
void dul_describe(const struct dul *d, struct dul_parameters *ret);

struct dul_context {
	uint8_t	    id;
	const char *abstract_syntax;
	bool	    has_role, scu, scp;
};
/* Every context, and after each its transfer syntaxes, in their order. */
void dul_walk(struct dul *d,
    void (*context)(void *arg, const struct dul_context *c),
    void (*syntax)(void *arg, const char *uid), void *arg);

struct dul_answer {
	uint8_t	    id, result;
	const char *abstract_syntax, *syntax;	/* syntax: never NULL */
	bool	    scp_role;	/* the requestor may be SCP, too, if it asks for it */
};
/* Storage extended negotiation is answered with level 2 for accepted contexts,
 * roles with "requestor is SCU" where SCU was proposed. */
int dul_accept(struct dul *d, uint32_t max_pdu, const struct dul_answer *answers,
    size_t n);
int dul_reject(struct dul *d, unsigned result, unsigned source, unsigned reason);

#ifdef __cplusplus
}
#endif

#endif
