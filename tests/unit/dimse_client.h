/* dimse_client.h - a raw client for the tests of the receiver: what it sends is
 * built byte by byte, so that it can be wrong.
 */
#ifndef CW_TESTS_UNIT_DIMSE_CLIENT_H
#define CW_TESTS_UNIT_DIMSE_CLIENT_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/command.h"

#define CT_CLASS "1.2.840.10008.5.1.4.1.1.2"
#define MR_CLASS "1.2.840.10008.5.1.4.1.1.4"

enum { C_RQ = 1, C_AC, C_RJ, C_DATA, C_RELEASE_RQ, C_RELEASE_RP, C_ABORT };

struct client_context {
	const char *abstract;
	const char *syntaxes[4];	/* up to the first NULL */
};

struct client_request {
	const char *calling, *called, *application;
	uint32_t max_pdu;
	const char *items;		/* more user items, raw */
	size_t	items_len;
	const struct client_context *contexts;
	unsigned n;
};

static inline void
put_u16(struct buf *b, unsigned n)
{
	(void)buf_add(b, (uint8_t[]){ (uint8_t)(n >> 8), (uint8_t)n }, 2);
}

static inline void
put_u32(struct buf *b, uint32_t n)
{
	put_u16(b, n >> 16);
	put_u16(b, n & 0xffff);
}

/* Returns where the length is; end_item() sets it. */
static inline size_t
begin_item(struct buf *b, uint8_t type)
{
	(void)buf_add(b, (uint8_t[]){ type, 0, 0, 0 }, 4);
	return b->len - 2;
}

static inline void
end_item(struct buf *b, size_t at)
{
	size_t len = b->len - at - 2;

	b->data[at] = (char)(len >> 8);
	b->data[at + 1] = (char)len;
}

static inline void
put_item(struct buf *b, uint8_t type, const char *text)
{
	size_t at = begin_item(b, type);

	(void)buf_add_str(b, text);
	end_item(b, at);
}

static inline void
put_pdu(struct buf *b, uint8_t type, const void *body, size_t len)
{
	(void)buf_add(b, (uint8_t[]){ type, 0 }, 2);
	put_u32(b, (uint32_t)len);
	(void)buf_add(b, body, len);
}

static inline void
put_context(struct buf *b, uint8_t id, const struct client_context *c)
{
	size_t at = begin_item(b, 0x20);

	(void)buf_add(b, (uint8_t[]){ id, 0, 0, 0 }, 4);
	put_item(b, 0x30, c->abstract);
	for (unsigned i = 0; i < 4 && c->syntaxes[i] != NULL; i++)
		put_item(b, 0x40, c->syntaxes[i]);
	end_item(b, at);
}

static inline void
put_user(struct buf *b, const struct client_request *rq)
{
	size_t at = begin_item(b, 0x50), max = begin_item(b, 0x51);

	put_u32(b, rq->max_pdu);
	end_item(b, max);
	put_item(b, 0x52, "1.2.3.4.5");
	put_item(b, 0x55, "RAW");
	if (rq->items != NULL)
		(void)buf_add(b, rq->items, rq->items_len);
	end_item(b, at);
}

static inline void
put_request(struct buf *b, const struct client_request *rq)
{
	static const char zero[32];
	struct buf body = BUF_INIT(2 << 20);
	char title[17];

	put_u16(&body, 1);
	put_u16(&body, 0);
	(void)snprintf(title, sizeof(title), "%-16s", rq->called);
	(void)buf_add(&body, title, 16);
	(void)snprintf(title, sizeof(title), "%-16s", rq->calling);
	(void)buf_add(&body, title, 16);
	(void)buf_add(&body, zero, sizeof(zero));
	put_item(&body, 0x10, rq->application);
	for (unsigned i = 0; i < rq->n; i++)
		put_context(&body, (uint8_t)(2 * i + 1), &rq->contexts[i]);
	put_user(&body, rq);
	put_pdu(b, C_RQ, body.data, body.len);
	buf_free(&body);
}

static inline int
client_connect(uint16_t port)
{
	const struct timeval limit = { .tv_sec = 10 };
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static inline bool
client_send(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
	}
	return true;
}

static inline bool
client_send_buf(int fd, struct buf *b)
{
	bool ok = client_send(fd, b->data, b->len);

	buf_free(b);
	return ok;
}

static inline bool
client_recv(int fd, void *data, size_t len)
{
	char *p = data;
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		n = recv(fd, p, len, 0);
		if (n <= 0)
			return false;
	}
	return true;
}

/* The type, 0 when the connection ended; body has room for max bytes. */
static inline unsigned
client_read_pdu(int fd, uint8_t *body, size_t max, size_t *ret_len)
{
	uint8_t h[6];
	size_t len;

	if (!client_recv(fd, h, 6))
		return 0;
	len = (size_t)h[2] << 24 | (size_t)h[3] << 16 | (size_t)h[4] << 8 | h[5];
	*ret_len = len;
	if (len > max || !client_recv(fd, body, len))
		return 0;
	return h[0];
}

/* Of the next PDU only its type. */
static inline unsigned
client_read_type(int fd)
{
	static _Thread_local uint8_t body[256 * 1024];
	size_t len;

	return client_read_pdu(fd, body, sizeof(body), &len);
}

/* Connects and asks; the type of the answer, whose body is copied. */
static inline int
client_associate(uint16_t port, const struct client_request *rq,
    unsigned *ret_type, uint8_t *body, size_t max, size_t *ret_len)
{
	struct buf b = BUF_INIT(2 << 20);
	int fd = client_connect(port);

	put_request(&b, rq);
	(void)client_send_buf(fd, &b);
	*ret_type = client_read_pdu(fd, body, max, ret_len);
	return fd;
}

static inline void
put_pdv(struct buf *b, uint8_t context, bool command, bool last, const void *data,
    size_t len)
{
	put_u32(b, (uint32_t)len + 2);
	(void)buf_add(b, (uint8_t[]){ context,
	    (uint8_t)((command ? 1 : 0) | (last ? 2 : 0)) }, 2);
	(void)buf_add(b, data, len);
}

static inline bool
client_send_pdv(int fd, uint8_t context, bool command, bool last,
    const void *data, size_t len)
{
	struct buf pdv = BUF_INIT(4 << 20), pdu = BUF_INIT(4 << 20);

	put_pdv(&pdv, context, command, last, data, len);
	put_pdu(&pdu, C_DATA, pdv.data, pdv.len);
	buf_free(&pdv);
	return client_send_buf(fd, &pdu);
}

static inline bool
client_send_command(int fd, uint8_t context, const struct dicom_command *c)
{
	struct buf b = BUF_INIT(DICOM_COMMAND_MAX);
	bool ok;

	(void)dicom_command_write(&b, c);
	ok = client_send_pdv(fd, context, true, true, b.data, b.len);
	buf_free(&b);
	return ok;
}

/* One response in one PDV, as the receiver sends it. */
static inline bool
client_read_response(int fd, struct dicom_command *ret)
{
	uint8_t body[4096];
	size_t len;

	return client_read_pdu(fd, body, sizeof(body), &len) == C_DATA && len > 6 &&
	    dicom_command_parse(body + 6, len - 6, ret) == 0;
}

static inline bool
client_release(int fd)
{
	struct buf b = BUF_INIT(100);
	bool ok;

	put_pdu(&b, C_RELEASE_RQ, "\0\0\0\0", 4);
	ok = client_send_buf(fd, &b) && client_read_type(fd) == C_RELEASE_RP;
	(void)close(fd);
	return ok;
}

/* Explicit little endian. */
static inline void
put_element(struct buf *b, uint16_t group, uint16_t element, const char *vr,
    const void *value, size_t len)
{
	size_t even = len + len % 2;

	(void)buf_add(b, (uint8_t[]){ (uint8_t)group, (uint8_t)(group >> 8),
	    (uint8_t)element, (uint8_t)(element >> 8) }, 4);
	(void)buf_add(b, vr, 2);
	if (strcmp(vr, "OW") == 0)
		(void)buf_add(b, (uint8_t[]){ 0, 0, (uint8_t)even,
		    (uint8_t)(even >> 8), (uint8_t)(even >> 16),
		    (uint8_t)(even >> 24) }, 6);
	else
		(void)buf_add(b, (uint8_t[]){ (uint8_t)even,
		    (uint8_t)(even >> 8) }, 2);
	(void)buf_add(b, value, len);
	if (len % 2 != 0)
		(void)buf_add_char(b, strcmp(vr, "UI") == 0 ? '\0' : ' ');
}

static inline void
put_text(struct buf *b, uint16_t group, uint16_t element, const char *vr,
    const char *text)
{
	if (text != NULL)
		put_element(b, group, element, vr, text, strlen(text));
}

/* NULL leaves an element out. */
struct client_object {
	const char *sop_class, *instance, *study, *series;
	size_t pixels;
};

static inline void
put_object(struct buf *b, const struct client_object *o)
{
	static const char zero[64 * 1024];

	put_text(b, 0x0008, 0x0016, "UI", o->sop_class);
	put_text(b, 0x0008, 0x0018, "UI", o->instance);
	put_text(b, 0x0008, 0x0060, "CS", "CT");
	put_text(b, 0x0010, 0x0010, "PN", "TEST^RAW");
	put_text(b, 0x0020, 0x000d, "UI", o->study);
	put_text(b, 0x0020, 0x000e, "UI", o->series);
	put_text(b, 0x0020, 0x0013, "IS", "1");
	put_element(b, 0x7fe0, 0x0010, "OW", zero, o->pixels);
}

#endif
