/* association.h - DICOM associations over TCP and TLS, called and calling.
 *
 * The listener (main's event loop) accepts, keeps silent connections cheap and
 * within a budget per address, and hands a connection that has begun to speak to
 * a pool of threads. There the caller's service function runs with one `struct
 * assoc`, which belongs to that thread until the function returns. assoc_open()
 * calls a peer in the calling thread; from there on the same functions carry the
 * messages, whoever called.
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

/* ---- TLS ---------------------------------------------------------------- */

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

/* For calling. */
struct assoc_tls_client_options {
	const char *ca_file;		/* NULL: the system's store */
	const char *certificate_file, *key_file, *key_passphrase_file; /* NULL: none */
	enum assoc_tls_profile profile;
};
int  assoc_tls_new_client(const struct assoc_tls_client_options *opt,
	 struct assoc_tls **ret, struct buf *why);
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

/* A-ASSOCIATE-RQ; belongs to the assoc. Where we called it is what the peer says of
 * itself in its answer, without contexts. */
struct assoc_request {
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
	ASSOC_ACCEPTED = 0, ASSOC_USER_REJECTED = 1, ASSOC_NO_REASON = 2,
	ASSOC_ABSTRACT_UNSUPPORTED = 3, ASSOC_SYNTAXES_UNSUPPORTED = 4,
};
struct assoc_answer {
	enum assoc_context_result result;
	const char *syntax;		/* of the accepted one */
	bool	 scp_role;		/* role selection: the one that calls may be
					 * SCP, if it asked for it; not, it is SCU */
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
/* The same piece by piece, a PDU each; len: at most assoc_part_max(), and even
 * unless it is the last. */
int  assoc_write_part(struct assoc *a, uint8_t context, bool command, bool last,
	 const void *data, size_t len);
size_t assoc_part_max(const struct assoc *a);
/* Until something comes to be read: 1; 0: the deadline passed, and nothing is
 * lost; else as for read. */
int  assoc_wait(struct assoc *a, int64_t deadline_ms);
int  assoc_release(struct assoc *a);	/* A-RELEASE-RP */
/* A-RELEASE-RQ; what comes before the answer is read over. */
int  assoc_request_release(struct assoc *a);
void assoc_abort(struct assoc *a);
const char *assoc_reason(const struct assoc *a);	/* of the last failure; "" */

/* ---- whole messages ------------------------------------------------------ */

struct dicom_command;

/* The command set, and then its data set unless len is 0. */
int  assoc_send_message(struct assoc *a, uint8_t context,
	 const struct dicom_command *cmd, const void *data, size_t len);
/* inside: an answer is due within message_ms. As assoc_read(). */
int  assoc_read_command(struct assoc *a, bool inside, struct dicom_command *ret,
	 uint8_t *ret_context);
/* What follows a command; more than ret holds is read over and -EMSGSIZE. */
int  assoc_read_dataset(struct assoc *a, uint8_t context, struct buf *ret);

/* ---- calling -------------------------------------------------------------- */

struct assoc_proposal {		/* a presentation context */
	const char *abstract_syntax;
	const char *const *syntaxes;
	unsigned n_syntaxes;
	bool	 has_role, scu_role, scp_role;	/* role selection; of all contexts of
						 * an abstract syntax the first's */
};
struct assoc_call {		/* borrowed for the call */
	const char *host;	/* a name or an address, IPv4 or IPv6 */
	uint16_t port;
	const char *calling, *called;
	uint32_t max_pdu;	/* that we announce */
	struct assoc_tls *tls;	/* for calling; NULL: plain. A reference is taken */
	const char *tls_name;	/* that the certificate must bear; NULL: host; "*":
				 * any, its issuer decides */
	int64_t	 connect_ms;	/* name and TCP, all addresses together */
	int64_t	 handshake_ms;	/* TLS and the answer to the request */
	int64_t	 message_ms;	/* then: assoc_set_timeouts() */
	int	 cancel_fd;	/* readable: every wait ends, -ECANCELED; -1: none */
	unsigned n_proposals;	/* 1..ASSOC_CONTEXTS_MAX */
	const struct assoc_proposal *proposals;
};
/* Blocks. why, for people, also says what to do: name, port, TLS, titles. Accepted
 * though no context may be: see assoc_answers().
 *   -EACCES	  rejected, and will be again (a title, a protocol)
 *   -EAGAIN	  rejected for now
 *   -EPROTO	  TLS failed, or what answers is not DICOM
 *   -ECANCELED
 *   other	  not reached (-ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, …) */
int  assoc_open(const struct assoc_call *call, struct assoc **ret,
	 struct buf *why);
/* One for each proposal, in their order; an accepted one has a syntax that was
 * proposed. */
const struct assoc_answer *assoc_answers(const struct assoc *a);
/* Of the proposal i: 1, 3, 5, … */
static inline uint8_t
assoc_context_id(unsigned i)
{
	return (uint8_t)(2 * i + 1);
}
/* Aborts unless it was released; takes NULL. */
void assoc_close(struct assoc *a);

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
