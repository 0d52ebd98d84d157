#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "tls/alert.h"
#include "tls/ossl.h"
#include "tls/ossl_io.h"

#define LIST_MAX 1024u

/* AES-128 first: the cheapest where the CPU has AES; a client without prefers ChaCha20, see
 * SSL_OP_PRIORITIZE_CHACHA. */
#define SUITES_13  "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_12 "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20"
/* The hybrid group came with OpenSSL 3.5. */
#define GROUPS "X25519MLKEM768:X25519:P-256:P-384:P-521"

static enum status fail(struct cert_error *err, const char *what, const char *value)
{
    snprintf(err->text, sizeof(err->text), "%s: %s", what, value);
    ERR_clear_error();
    return ST_E_CONFIG;
}

/* ---- callbacks of the library: run inside ossl_handshake ------------------------------------- */

/* Called for every ClientHello, with a name in it or without. */
static int choose_name(SSL *ssl, int *alert, void *arg)
{
    const struct ossl_conf *c = arg;

    if (!c->reject_sni)
        return SSL_TLSEXT_ERR_OK;
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (sni != NULL && cert_names_match(c->names, c->name_count, sni))
        return SSL_TLSEXT_ERR_OK;
    *alert = TLS_ALERT_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Called only when the client offers protocols. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offer, unsigned int offer_len, void *arg)
{
    const struct ossl_conf *c = arg;
    unsigned char *chosen;

    (void)ssl;
    if (c->alpn_len == 0)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, out_len, c->alpn, c->alpn_len, offer, offer_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10) & 15;
}

/* A line is "LABEL <client random, hex> <secret, hex>": the way the library gives out traffic
 * secrets. */
static void take_secret(const SSL *ssl, const char *line)
{
    static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
    struct ossl *o = SSL_get_app_data(ssl);
    uint8_t *dst;

    if (strncmp(line, client, sizeof(client) - 1) == 0)
        dst = o->client_secret;
    else if (strncmp(line, server, sizeof(server) - 1) == 0)
        dst = o->server_secret;
    else
        return;
    const char *hex = strchr(line + sizeof(client) - 1, ' ');
    size_t len = hex != NULL ? strlen(hex + 1) / 2 : 0;
    if (len > RECORD_SECRET_MAX)
        return;
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)(nibble(hex[1 + 2 * i]) << 4 | nibble(hex[2 + 2 * i]));
    o->secret_len = (uint8_t)len;
}

/* ---- settings -------------------------------------------------------------------------------- */

static enum status set_alpn(struct ossl_conf *c, const struct ossl_settings *s,
                            struct cert_error *err)
{
    for (size_t i = 0; i < s->alpn_count; i++) {
        size_t len = strlen(s->alpn[i]);
        if (len == 0 || len > 255 || c->alpn_len + 1 + len > sizeof(c->alpn))
            return fail(err, "unusable ALPN protocol", s->alpn[i]);
        c->alpn[c->alpn_len] = (uint8_t)len;
        memcpy(c->alpn + c->alpn_len + 1, s->alpn[i], len);
        c->alpn_len = (uint16_t)(c->alpn_len + 1 + len);
    }
    return ST_OK;
}

/* Appends @one to the colon list @list of @size bytes; false when it is full. */
static bool append(char *list, size_t size, const char *one)
{
    size_t at = strlen(list);
    int put = snprintf(list + at, size - at, "%s%s", at > 0 ? ":" : "", one);

    return put >= 0 && (size_t)put < size - at;
}

/* Copies the next name of a colon list to @one and steps over it; false at the end. */
static bool next_name(const char **p, char *one, size_t size)
{
    *p += strspn(*p, ": ");
    size_t n = strcspn(*p, ": ");
    if (n == 0)
        return false;
    snprintf(one, size, "%.*s", (int)(n < size ? n : size - 1), *p);
    *p += n;
    return true;
}

/* Names of the RFCs (as Go writes them) become the library's own; names it knows itself may be
 * mixed in. */
static enum status set_ciphers(SSL_CTX *ctx, const char *names, struct cert_error *err)
{
    char list[LIST_MAX] = "", one[96];

    for (const char *p = names; next_name(&p, one, sizeof(one));) {
        const char *own = OPENSSL_cipher_name(one);
        if (own == NULL || strcmp(own, "(NONE)") == 0)
            own = one;
        if (!append(list, sizeof(list), own))
            return fail(err, "too many cipher suites", names);
    }
    if (SSL_CTX_set_cipher_list(ctx, list) != 1)
        return fail(err, "no usable TLS 1.2 cipher suite in", names);
    return ST_OK;
}

/* Number of a group by the names that our settings use; 0: some other. */
static uint16_t group_number(const char *name)
{
    static const struct {
        const char *name;
        uint16_t number;
    } groups[] = {{"X25519MLKEM768", 0x11ec},
                  {"X25519", 0x001d},
                  {"P-256", 0x0017},
                  {"P-384", 0x0018},
                  {"P-521", 0x0019}};

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i].name, name) == 0)
            return groups[i].number;
    }
    return 0;
}

static void note_groups(struct ossl_conf *c, const char *names)
{
    char one[96];

    for (const char *p = names; next_name(&p, one, sizeof(one));) {
        uint16_t number = group_number(one);
        if (number == 0 || c->group_count == OSSL_GROUPS) {
            c->group_count = 0;
            return;
        }
        c->groups[c->group_count++] = number;
    }
}

/* Keeps the groups this library has. */
static enum status set_groups(struct ossl_conf *c, const char *names, struct cert_error *err)
{
    SSL_CTX *ctx = c->ctx;
    char list[LIST_MAX] = "", one[96];

    for (const char *p = names; next_name(&p, one, sizeof(one));) {
        if (SSL_CTX_set1_groups_list(ctx, one) == 1 && !append(list, sizeof(list), one))
            return fail(err, "too many key exchange groups", names);
    }
    if (list[0] == '\0' || SSL_CTX_set1_groups_list(ctx, list) != 1)
        return fail(err, "no usable key exchange group in", names);
    note_groups(c, list);
    return ST_OK;
}

static enum status set_crypto(struct ossl_conf *c, const struct ossl_settings *s,
                              struct cert_error *err)
{
    SSL_CTX *ctx = c->ctx;

    if (SSL_CTX_set_min_proto_version(ctx, s->min_version ? s->min_version : TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, s->max_version ? s->max_version : TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, SUITES_13) != 1)
        return ST_E_CRYPTO;
    enum status st = set_groups(c, s->groups != NULL ? s->groups : GROUPS, err);
    if (st == ST_OK)
        st = set_ciphers(ctx, s->ciphers12 != NULL ? s->ciphers12 : CIPHERS_12, err);
    return st;
}

static enum status set_cert(SSL_CTX *ctx, const struct cert *cert, struct cert_error *err)
{
    if (SSL_CTX_use_cert_and_key(ctx, cert->leaf, cert->key, cert->chain, 1) == 1)
        return ST_OK;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return fail(err, "the certificate cannot be used", reason != NULL ? reason : "unknown reason");
}

/* No state outlives a connection and nothing is sent after Finished: the record layer takes over
 * at sequence number 0. Chains are sent as configured, not looked for in the machine's store at
 * each handshake. */
static void set_manners(SSL_CTX *ctx, struct ossl_conf *c)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_read_ahead(ctx, 0);
    SSL_CTX_set_keylog_callback(ctx, take_secret);
    SSL_CTX_set_tlsext_servername_callback(ctx, choose_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, c);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, c);
}

enum status ossl_conf_init(struct ossl_conf *c, struct arena *a, const struct ossl_settings *s,
                           struct cert_error *err)
{
    memset(c, 0, sizeof(*c));
    err->text[0] = '\0';
    enum status st = set_alpn(c, s, err);
    if (st == ST_OK && s->reject_unknown_sni)
        st = cert_names(s->cert, a, &c->names, &c->name_count);
    if (st != ST_OK)
        return st;
    c->reject_sni = s->reject_unknown_sni;
    c->bio = ossl_bio_method();
    c->ctx = SSL_CTX_new(TLS_server_method());
    if (c->bio == NULL || c->ctx == NULL) {
        st = ST_E_NOMEM;
        goto out;
    }
    set_manners(c->ctx, c);
    st = set_crypto(c, s, err);
    if (st == ST_OK)
        st = set_cert(c->ctx, s->cert, err);
out:
    if (st != ST_OK)
        ossl_conf_fini(c);
    ERR_clear_error();
    return st;
}

void ossl_conf_fini(struct ossl_conf *c)
{
    SSL_CTX_free(c->ctx);
    BIO_meth_free(c->bio);
    memset(c, 0, sizeof(*c));
}
