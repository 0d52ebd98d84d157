/* tls/test_server.h - what an OpenSSL server of a test needs: a certificate for "target.example"
 * and protocols to choose from. For tests; no program links it. */
#ifndef TLS_TEST_SERVER_H
#define TLS_TEST_SERVER_H

#include <openssl/ssl.h>

/* @alpn: the names it speaks, in order of preference, as on the wire (RFC 7301 section 3.1) with a
 * NUL behind; static. SSL_CTX_free ends it. NULL: no memory, or the library refused something. */
SSL_CTX *test_server_new(const char *alpn);

#endif
