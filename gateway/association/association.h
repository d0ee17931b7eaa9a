/* association.h - DICOM associations over TCP and TLS; DCMTK behind C.
 *
 * The listener (main's event loop) accepts, keeps silent connections cheap and
 * within a budget per address, and hands a connection that has begun to speak to
 * a pool of threads. There the caller's service function runs with one `struct
 * assoc`, which belongs to that thread until the function returns.
 *
 * Promises: no peer can hold up another, whatever it does or fails to do; every
 * wait has a CLOCK_MONOTONIC deadline; memory of an association is bounded by its
 * maximum PDU; no DCMTK type, no exception and no C++ crosses this header.
 *
 * Received data is acknowledged at once (TCP_NODELAY, TCP_QUICKACK re-armed after
 * each read) and each PDU of ours leaves in one write, so senders that are bound
 * by Nagle do not stall.
 *
 * Sources: PS3.8 (upper layer), PS3.7 annex D (user information), PS3.15 B (TLS).
 */
#ifndef CW_ASSOCIATION_ASSOCIATION_H
#define CW_ASSOCIATION_ASSOCIATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/uid.h"

/* ---- TLS of a listener -------------------------------------------------- */

enum assoc_tls_profile { ASSOC_TLS_BCP195, ASSOC_TLS_LEGACY_AES };

struct assoc_tls_options {
	const char *certificate_file, *key_file, *key_passphrase_file;
	const char *client_ca_file;	/* NULL: no certificate is asked for */
	const char *crl_file;
	enum assoc_tls_profile profile;	/* rule 21 */
};
struct assoc_tls;

/* Reads everything; session resumption is on. why says what is wrong, for people
 * (file, and whether it is the key, the passphrase, the chain). */
int  assoc_tls_new(const struct assoc_tls_options *opt, struct assoc_tls **ret,
	 struct buf *why);
struct assoc_tls *assoc_tls_ref(struct assoc_tls *t);
void assoc_tls_unref(struct assoc_tls *t);

/* ---- one association ---------------------------------------------------- */

struct assoc;

#define ASSOC_CONTEXTS_MAX 128

struct assoc_context {
	uint8_t	 id;			/* odd, 1..255 */
	char	 abstract_syntax[DICOM_UID_MAX + 1];
	unsigned n_syntaxes;
	const char *const *syntaxes;	/* as proposed, trimmed */
	bool	 proves_storage;	/* Common Extended Negotiation names the
					 * storage service class (rule 14) */
	bool	 scu_role, scp_role;	/* role selection as proposed */
	bool	 has_role;
};

struct assoc_request {			/* A-ASSOCIATE-RQ; belongs to the assoc */
	char	 calling[DICOM_TITLE_MAX + 1], called[DICOM_TITLE_MAX + 1];
	char	 address[48];		/* the peer's, from accept; IPv4 as such */
	uint16_t port;
	uint32_t max_pdu;		/* the peer's */
	char	 implementation_uid[DICOM_UID_MAX + 1];
	char	 implementation_version[16 + 1];
	bool	 wants_async;		/* answered 1/1 */
	uint8_t	 user_identity;		/* type, 0 none; accepted without effect */
	bool	 right_application;	/* the DICOM application context name */
	unsigned n_contexts;
	const struct assoc_context *contexts;
	/* TLS; NULL or "" without. */
	const char *tls_version, *tls_cipher, *tls_subject;	/* RFC 2253 */
};

enum assoc_context_result {		/* PS3.8 table 9-18 */
	ASSOC_ACCEPTED = 0, ASSOC_USER_REJECTED = 1,
	ASSOC_ABSTRACT_UNSUPPORTED = 3, ASSOC_SYNTAXES_UNSUPPORTED = 4,
};
struct assoc_answer {
	enum assoc_context_result result;
	const char *syntax;		/* of the accepted one */
};

enum assoc_reject_result { ASSOC_REJECT_PERMANENT = 1, ASSOC_REJECT_TRANSIENT = 2 };
enum assoc_reject_source { ASSOC_BY_USER = 1, ASSOC_BY_ACSE = 2,
	ASSOC_BY_PRESENTATION = 3 };

const struct assoc_request *assoc_request(const struct assoc *a);
uint64_t assoc_id(const struct assoc *a);	/* ours, for the log */
/* The deadlines from here on: inside a message, between messages (rule 18). */
void assoc_set_timeouts(struct assoc *a, int64_t message_ms, int64_t idle_ms);
void assoc_set_max_pdu(struct assoc *a, uint32_t max_pdu);	/* before accept */

/* One answer per context, in their order. 0 or a negative errno as for read. */
int  assoc_accept(struct assoc *a, const struct assoc_answer *answers);
/* reason: PS3.8 table 9-21, by source. */
int  assoc_reject(struct assoc *a, enum assoc_reject_result result,
	 enum assoc_reject_source source, unsigned reason);

struct assoc_pdv {
	uint8_t	    context;
	bool	    command, last;
	const void *data;	/* until the next call */
	size_t	    len;
};

/* Waits for the next fragment. inside: within a message (else between messages).
 *   0		  *ret is set
 *   1		  the peer asks to release: answer with assoc_release()
 *   -ECONNABORTED  the peer sent A-ABORT
 *   -ECONNRESET    the connection broke
 *   -ETIMEDOUT	  the deadline passed
 *   -EPROTO	  what came is not DICOM (assoc_reason() says what)
 *   -ECANCELED	  the program is stopping (only between messages) */
int  assoc_read(struct assoc *a, bool inside, struct assoc_pdv *ret);
/* One message part: fragmented to the peer's maximum PDU, one write per PDU. */
int  assoc_write(struct assoc *a, uint8_t context, bool command, const void *data,
	 size_t len);
int  assoc_release(struct assoc *a);	/* A-RELEASE-RP */
void assoc_abort(struct assoc *a);
const char *assoc_reason(const struct assoc *a);	/* of the last failure; "" */

/* ---- listening ---------------------------------------------------------- */

struct assoc_server;
struct event_base;

/* Runs in a pool thread once an A-ASSOCIATE-RQ was read and is well-formed. The
 * association ends, by abort if it is still open, when it returns. */
typedef void assoc_service_fn(void *arg, struct assoc *a);
/* Something that is no association: refused by budget, handshake failed, timed
 * out, not DICOM. Any thread. tls tells which kind of listener it was. */
typedef void assoc_failed_fn(void *arg, const char *address, bool tls,
    const char *what);

struct assoc_server_options {
	unsigned threads_max;		/* associations at once + handshakes */
	unsigned waiting_max;		/* silent connections, all addresses (1024) */
	unsigned waiting_per_address;	/* (128): the oldest of the address goes */
	unsigned handshakes_per_address;/* (16): the rest wait their turn; who was
					 * refused and lingers counts as well */
	int64_t	 handshake_timeout_ms;	/* from accept to A-ASSOCIATE-RQ */
	assoc_service_fn *service;
	assoc_failed_fn	 *failed;
	void	*arg;
};
/* Sets DCMTK's globals, once, before any thread. */
int  assoc_server_new(struct event_base *base,
	 const struct assoc_server_options *opt, struct assoc_server **ret);
/* address NULL: all. tls NULL: plain; a reference is taken. why: for people. */
int  assoc_server_listen(struct assoc_server *s, const char *address,
	 uint16_t port, struct assoc_tls *tls, struct buf *why);
void assoc_server_set_handshake_timeout(struct assoc_server *s, int64_t ms);
/* For what connects from now on there; a reference is taken. Any thread. Nothing
 * happens when nobody listens there. */
void assoc_server_renew_tls(struct assoc_server *s, const char *address,
	 uint16_t port, struct assoc_tls *tls);
/* No more connections; associations between messages end, the others may finish
 * their message until the deadline, then are cut. Waits for their threads. */
void assoc_server_stop(struct assoc_server *s, int64_t deadline_ms);
void assoc_server_free(struct assoc_server *s);

struct assoc_server_stats { unsigned waiting, handshaking, associations; };
void assoc_server_stats(struct assoc_server *s, struct assoc_server_stats *ret);

#endif
