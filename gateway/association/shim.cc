/* shim.cc - DCMTK's upper layer over our stream.
 *
 * The hand-over. DCMTK takes a socket from a global (dcmExternalSocketHandle) and
 * then asks the transport layer for a connection. Under a mutex we set the global
 * and call it; our layer's createConnection(), which runs in the same thread
 * before a byte is read, resets the global and unlocks. If DCMTK fails before it
 * asks (the peer reset first), we unlock. No descriptor is ever DCMTK's: stream.c
 * owns the socket, and close() here closes nothing.
 *
 * DCMTK is always told to block: deadlines are the stream's, and whatever ends a
 * wait there looks to DCMTK like a closed connection.
 */
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <pthread.h>

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmnet/assoc.h"
#include "dcmtk/dcmnet/cond.h"
#include "dcmtk/dcmnet/dcmlayer.h"
#include "dcmtk/dcmnet/dcmtrans.h"
#include "dcmtk/dcmnet/dul.h"
#include "dcmtk/dcmnet/extneg.h"
#include "dcmtk/dcmnet/lst.h"
#include "dcmtk/oflog/oflog.h"
#include "dcmtk/ofstd/ofstd.h"

extern "C" {
#include "gateway/association/stream_int.h"
#include "gateway/dicom/uid.h"
}
#include "gateway/association/shim_int.h"

namespace {

pthread_mutex_t handover = PTHREAD_MUTEX_INITIALIZER;
thread_local struct stream *handed;	/* non-NULL: this thread holds the mutex */
T_ASC_Network *network;

struct stream *
end_handover()
{
	struct stream *s = handed;

	handed = nullptr;
	dcmExternalSocketHandle.set(-1);
	(void)pthread_mutex_unlock(&handover);
	return s;
}

class Connection : public DcmTransportConnection
{
public:
	Connection(DcmNativeSocketType fd, struct stream *s)
	    : DcmTransportConnection(fd), stream_(s) { }

	/* DCMTK wants -1 and errno, and would repeat on EINTR. */
	ssize_t read(void *data, size_t len) override
	{
		ssize_t n = stream_read(stream_, data, len);

		if (n >= 0)
			return n;
		errno = ECONNRESET;
		return -1;
	}
	/* Always well: an A-ASSOCIATE-AC of more than 4096 bytes that cannot be
	 * written is never freed. The stream knows better, see conclude(). */
	ssize_t write(void *data, size_t len) override
	{
		if (len > 0)
			(void)stream_write(stream_, data, len);
		return static_cast<ssize_t>(len);
	}
	OFBool networkDataAvailable(int) override { return OFTrue; }
	OFCondition serverSideHandshake() override { return EC_Normal; }
	OFCondition clientSideHandshake() override { return EC_Normal; }
	OFCondition renegotiate(const char *) override { return EC_Normal; }
	void close() override { }
	void closeTransportConnection() override { }
	unsigned long getPeerCertificateLength() override { return 0; }
	unsigned long getPeerCertificate(void *, unsigned long) override
	{
		return 0;
	}
	OFBool isTransparentConnection() override { return OFFalse; }
	OFString &dumpConnectionParameters(OFString &str) override { return str; }

private:
	struct stream *stream_;
};

class Layer : public DcmTransportLayer
{
public:
	DcmTransportConnection *
	createConnection(DcmNativeSocketType fd, OFBool) override
	{
		return new Connection(fd, end_handover());
	}
};

} // namespace

struct dul {
	struct stream	  *stream;
	T_ASC_Association *assoc;
	OFString	   reason;
};

static int
fail(struct dul *d, const OFCondition &cond)
{
	int e = stream_error(d->stream);

	d->reason = cond.text();
	return e < 0 ? e : -EPROTO;
}

/* Of what was written. */
static int
conclude(struct dul *d, const OFCondition &cond)
{
	return cond.good() && stream_error(d->stream) == 0 ? 0 : fail(d, cond);
}

extern "C" {

int
dul_global_init(void)
{
	Layer *layer;
	OFCondition cond;

	if (network != nullptr)
		return 0;
	OFLog::configure(OFLogger::OFF_LOG_LEVEL);
	dcmDisableGethostbyaddr.set(OFTrue);
	/* Any handle keeps DCMTK from listening by itself; it is not used. */
	dcmExternalSocketHandle.set(0);
	cond = ASC_initializeNetwork(NET_ACCEPTOR, 0, 30, &network);
	dcmExternalSocketHandle.set(-1);
	if (cond.bad())
		return -EIO;
	layer = new Layer;
	if (ASC_setTransportLayer(network, layer, OFTrue).bad())
		return -EIO;
	return 0;
}

struct dul *
dul_new(struct stream *s)
{
	struct dul *d = new dul;

	d->stream = s;
	d->assoc = nullptr;
	return d;
}

void
dul_free(struct dul *d)
{
	if (d == nullptr)
		return;
	if (d->assoc != nullptr)
		(void)ASC_destroyAssociation(&d->assoc);
	delete d;
}

const char *
dul_reason(const struct dul *d)
{
	return d->reason.c_str();
}

int
dul_receive(struct dul *d)
{
	OFCondition cond;

	(void)pthread_mutex_lock(&handover);
	handed = d->stream;
	dcmExternalSocketHandle.set(stream_fd(d->stream));
	/* The size of a buffer that is not used here. */
	cond = ASC_receiveAssociation(network, &d->assoc, ASC_MINIMUMPDUSIZE,
	    nullptr, nullptr, OFFalse, DUL_BLOCK, 0);
	if (handed != nullptr)
		(void)end_handover();
	return cond.good() ? 0 : fail(d, cond);
}

void
dul_describe(const struct dul *d, struct dul_parameters *ret)
{
	const DUL_ASSOCIATESERVICEPARAMETERS *p = &d->assoc->params->DULparams;

	ret->application = p->applicationContextName;
	ret->calling = p->callingAPTitle;
	ret->called = p->calledAPTitle;
	ret->implementation_uid = p->callingImplementationClassUID;
	ret->implementation_version = p->callingImplementationVersionName;
	ret->max_pdu = static_cast<uint32_t>(p->peerMaxPDU);
}

/* The next node of a list of DCMTK's; at NULL the first. */
static void *
next_node(LST_HEAD **list, void *at)
{
	if (*list == nullptr)
		return nullptr;
	if (at != nullptr)
		return LST_Next(list);
	at = LST_Head(list);
	if (at != nullptr)
		(void)LST_Position(list, at);
	return at;
}

void
dul_walk(struct dul *d, void (*context)(void *, const struct dul_context *),
    void (*syntax)(void *, const char *), void *arg)
{
	LST_HEAD **list = &d->assoc->params->DULparams.requestedPresentationContext;
	void *node = nullptr;

	while ((node = next_node(list, node)) != nullptr) {
		auto *pc = static_cast<DUL_PRESENTATIONCONTEXT *>(node);
		DUL_SC_ROLE role = pc->proposedSCRole;
		bool both = role == DUL_SC_ROLE_SCUSCP;
		struct dul_context c = { pc->presentationContextID,
			pc->abstractSyntax, role != DUL_SC_ROLE_DEFAULT,
			both || role == DUL_SC_ROLE_SCU,
			both || role == DUL_SC_ROLE_SCP };
		void *ts = nullptr;

		context(arg, &c);
		while ((ts = next_node(&pc->proposedTransferSyntax, ts)) != nullptr)
			syntax(arg,
			    static_cast<DUL_TRANSFERSYNTAX *>(ts)->transferSyntax);
	}
}

static DUL_PRESENTATIONCONTEXT *
find_requested(struct dul *d, uint8_t id)
{
	LST_HEAD **list = &d->assoc->params->DULparams.requestedPresentationContext;
	void *node = nullptr;

	while ((node = next_node(list, node)) != nullptr) {
		auto *pc = static_cast<DUL_PRESENTATIONCONTEXT *>(node);

		if (pc->presentationContextID == id)
			return pc;
	}
	return nullptr;
}

static bool
is_accepted(const struct dul_answer *answers, size_t n, const char *abstract_syntax)
{
	for (size_t i = 0; i < n; i++)
		if (answers[i].result == 0 &&
		    strcmp(answers[i].abstract_syntax, abstract_syntax) == 0)
			return true;
	return false;
}

static DUL_SC_ROLE
accepted_role(DUL_SC_ROLE proposed, bool scp)
{
	if (!scp || (proposed != DUL_SC_ROLE_SCP && proposed != DUL_SC_ROLE_SCUSCP))
		return DUL_SC_ROLE_SCU;
	return proposed;
}

static void
add_answer(struct dul *d, const struct dul_answer *a, bool first)
{
	DUL_ASSOCIATESERVICEPARAMETERS *p = &d->assoc->params->DULparams;
	const DUL_PRESENTATIONCONTEXT *proposed = find_requested(d, a->id);
	auto *pc = static_cast<DUL_PRESENTATIONCONTEXT *>(
	    calloc(1, sizeof(DUL_PRESENTATIONCONTEXT)));

	if (pc == nullptr || proposed == nullptr)
		abort();
	pc->presentationContextID = a->id;
	pc->result = a->result;
	pc->proposedSCRole = proposed->proposedSCRole;
	/* One role item per SOP class, whatever the number of its contexts. */
	pc->acceptedSCRole = a->result == 0 && first
	    ? accepted_role(proposed->proposedSCRole, a->scp_role)
	    : DUL_SC_ROLE_DEFAULT;
	OFStandard::strlcpy(pc->abstractSyntax, proposed->abstractSyntax,
	    sizeof(pc->abstractSyntax));
	OFStandard::strlcpy(pc->acceptedTransferSyntax, a->syntax,
	    sizeof(pc->acceptedTransferSyntax));
	LST_Enqueue(&p->acceptedPresentationContext, pc);
}

static bool
is_answered(const SOPClassExtendedNegotiationSubItemList *list, const OFString &uid)
{
	for (auto i = list->begin(); i != list->end(); ++i)
		if ((*i)->sopClassUID == uid)
			return true;
	return false;
}

/* Rule 14: PS3.4 table B.3-1: level 2 (full), signatures unspecified, no element
 * is coerced; as many bytes as were offered. Once for each SOP class: answers of
 * more than 64 KiB in all are an error of DCMTK's, after which it leaks. */
static void
answer_extended(struct dul *d, const struct dul_answer *answers, size_t n)
{
	DUL_ASSOCIATESERVICEPARAMETERS *p = &d->assoc->params->DULparams;

	if (p->requestedExtNegList == nullptr)
		return;
	p->acceptedExtNegList = new SOPClassExtendedNegotiationSubItemList;
	for (auto i = p->requestedExtNegList->begin();
	     i != p->requestedExtNegList->end(); ++i) {
		if ((*i)->serviceClassAppInfoLength == 0 ||
		    (*i)->serviceClassAppInfoLength > 6 ||
		    !is_accepted(answers, n, (*i)->sopClassUID.c_str()) ||
		    is_answered(p->acceptedExtNegList, (*i)->sopClassUID))
			continue;
		auto *x = new SOPClassExtendedNegotiationSubItem;

		x->sopClassUID = (*i)->sopClassUID;
		x->serviceClassAppInfoLength = (*i)->serviceClassAppInfoLength;
		x->serviceClassAppInfo =
		    new unsigned char[x->serviceClassAppInfoLength]();
		x->serviceClassAppInfo[0] = 2;
		p->acceptedExtNegList->push_back(x);
	}
}

/* DCMTK refuses to build a PDU around an empty title. */
static void
fill_title(char *title)
{
	if (title[0] == '\0')
		memcpy(title, " ", 2);
}

int
dul_accept(struct dul *d, uint32_t max_pdu, const struct dul_answer *answers,
    size_t n)
{
	T_ASC_Parameters *params = d->assoc->params;
	DUL_ASSOCIATESERVICEPARAMETERS *p = &params->DULparams;
	OFCondition cond;

	p->acceptedPresentationContext = LST_Create();
	for (size_t i = 0; i < n; i++)
		add_answer(d, &answers[i],
		    !is_accepted(answers, i, answers[i].abstract_syntax));
	answer_extended(d, answers, n);
	fill_title(p->callingAPTitle);
	fill_title(p->calledAPTitle);
	params->ourMaxPDUReceiveSize = max_pdu;
	/* It sizes a buffer that is not used here, and one magic value turns on a
	 * mode of compatibility. */
	params->theirMaxPDUReceiveSize = ASC_MINIMUMPDUSIZE;
	OFStandard::strlcpy(params->ourImplementationClassUID,
	    DICOM_IMPLEMENTATION_UID, sizeof(params->ourImplementationClassUID));
	OFStandard::strlcpy(params->ourImplementationVersionName,
	    DICOM_IMPLEMENTATION_VERSION,
	    sizeof(params->ourImplementationVersionName));
	cond = ASC_acknowledgeAssociation(d->assoc);
	return conclude(d, cond);
}

int
dul_reject(struct dul *d, unsigned result, unsigned source, unsigned reason)
{
	DUL_ABORTITEMS items = { static_cast<unsigned char>(result),
		static_cast<unsigned char>(source),
		static_cast<unsigned char>(reason) };
	OFCondition cond;

	cond = DUL_RejectAssociationRQ(&d->assoc->DULassociation, &items, 0);
	return conclude(d, cond);
}

} // extern "C"
