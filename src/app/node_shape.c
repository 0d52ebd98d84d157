#include "app/node_shape.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "app/vlessenc_keys.h"
#include "base/arena.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "panelserver/cipher.h"
#include "panelserver/db_node.h"
#include "base/textbuf.h"
#include "transport/vlessenc/vlessenc.h"

#define CIPHER_DEFAULT "2022-blake3-aes-128-gcm" /* users are found at once, however many */
#define VISION         "xtls-rprx-vision"
#define ENC_PREFIX     "mlkem768x25519plus."

struct shape {
    struct db_node *n;
    const struct node_wish *w;
    char *problem;
};

__attribute__((format(printf, 3, 4))) static enum status fail(struct shape *s, enum status st,
                                                              const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->problem, NODE_SHAPE_PROBLEM, fmt, ap);
    va_end(ap);
    return st;
}

static bool is(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

/* ---- VLESS ----------------------------------------------------------------------------------- */

/* As the node will read it. */
static enum status check_decryption(struct shape *s)
{
    struct conf_context ctx = {.server_name = NULL};
    struct conf_error err = {""};
    struct json_t *v = NULL;
    struct textbuf t;
    const void *conf = NULL;
    struct arena *a = arena_new();
    enum status st = ST_E_NOMEM;
    textbuf_init(&t);
    textbuf_puts(&t, "{\"decryption\":");
    textbuf_json(&t, s->n->decryption);
    textbuf_puts(&t, "}");
    if (a != NULL && !t.failed && json_parse(t.p, t.len, &v, NULL) == ST_OK)
        st = transport_vlessenc.parse_conf(a, v, &ctx, &conf, &err);
    if (st == ST_OK)
        transport_vlessenc.free_conf(conf);
    else
        (void)fail(s, st, "--decryption: %s", err.text[0] != '\0' ? err.text : status_str(st));
    if (t.p != NULL)
        crypto_wipe(t.p, t.len);
    textbuf_fini(&t);
    json_unref(v);
    arena_free(a);
    return st;
}

static bool is_enc_string(const char *text, size_t max)
{
    return strncmp(text, ENC_PREFIX, strlen(ENC_PREFIX)) == 0 && strlen(text) <= max &&
           text[strspn(
               text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

static enum status take_strings(struct shape *s)
{
    struct db_node *n = s->n;
    if (s->w->auth != NULL || s->w->ticket != NULL)
        return fail(s, ST_E_CONFIG,
                    "--encryption-auth and --encryption-ticket make new keys: not together with "
                    "--decryption");
    if (s->w->encryption == NULL || !is_enc_string(s->w->encryption, DB_ENCRYPTION_MAX))
        return fail(s, ST_E_CONFIG,
                    "--decryption needs --encryption STRING, the clients' half of the pair as v2sp "
                    "vlessenc prints it");
    if (!is_enc_string(s->w->decryption, DB_DECRYPTION_MAX))
        return fail(s, ST_E_CONFIG,
                    "--decryption: a string as v2sp vlessenc prints it is needed, " ENC_PREFIX
                    "MODE.TICKET.KEY");
    memcpy(n->encryption, s->w->encryption, strlen(s->w->encryption) + 1);
    memcpy(n->decryption, s->w->decryption, strlen(s->w->decryption) + 1);
    return check_decryption(s);
}

static enum status make_strings(struct shape *s)
{
    const struct node_wish *w = s->w;
    const char *ticket = w->ticket != NULL ? w->ticket : VLESSENC_TICKET;
    bool pq = is(w->auth, "mlkem768");
    struct vlessenc_keys k;
    if (w->auth != NULL && !pq && !is(w->auth, "x25519"))
        return fail(s, ST_E_CONFIG, "--encryption-auth %.32s: x25519 or mlkem768", w->auth);
    if (!vlessenc_ticket_ok(ticket))
        return fail(s, ST_E_CONFIG,
                    "--encryption-ticket %.32s: seconds, such as 600s or 300-600s; 0s: none",
                    ticket);
    enum status st = vlessenc_keys_new(w->encryption, ticket,
                                       pq ? VLESSENC_AUTH_MLKEM768 : VLESSENC_AUTH_X25519, &k);
    if (st != ST_OK)
        return fail(s, st, "the machine has no random numbers to give");
    (void)!snprintf(s->n->decryption, sizeof s->n->decryption, "%s", k.decryption);
    (void)!snprintf(s->n->encryption, sizeof s->n->encryption, "%s", k.encryption);
    crypto_wipe(&k, sizeof k);
    return check_decryption(s);
}

static enum status shape_encryption(struct shape *s)
{
    const struct node_wish *w = s->w;
    if (w->decryption != NULL)
        return take_strings(s);
    if (w->encryption != NULL && vlessenc_mode_ok(w->encryption))
        return make_strings(s);
    if (w->auth != NULL || w->ticket != NULL)
        return fail(s, ST_E_CONFIG,
                    "--encryption-auth and --encryption-ticket go with --encryption native, xorpub "
                    "or random");
    if (w->encryption == NULL)
        return ST_OK;
    if (w->encryption[0] != '\0' && !is(w->encryption, "none"))
        return fail(s, ST_E_CONFIG,
                    "--encryption %.32s: native, xorpub, random or none; a string of v2sp vlessenc "
                    "goes with --decryption, the other one",
                    w->encryption);
    s->n->decryption[0] = s->n->encryption[0] = '\0';
    return ST_OK;
}

/* Vision looks into the records of what lies right below it. */
static enum status shape_flow(struct shape *s)
{
    struct db_node *n = s->n;
    bool tls_tcp = n->tls != DB_TLS_NONE && is(n->network, "tcp");
    if (s->w->flow == NULL && s->w->tls != NULL && n->tls == DB_TLS_REALITY && tls_tcp)
        memcpy(n->flow, VISION, sizeof VISION);
    if (n->flow[0] == '\0' || tls_tcp || n->encryption[0] != '\0')
        return ST_OK;
    if (s->w->flow != NULL)
        return fail(s, ST_E_CONFIG,
                    "--flow %.32s: goes with --network tcp and --tls tls or reality, or with "
                    "--encryption",
                    s->w->flow);
    n->flow[0] = '\0';
    return ST_OK;
}

static enum status shape_vless(struct shape *s)
{
    enum status st = shape_encryption(s);
    return st == ST_OK ? shape_flow(s) : st;
}

static enum status shape_not_vless(struct shape *s)
{
    const struct node_wish *w = s->w;
    bool off = w->encryption == NULL || w->encryption[0] == '\0' || is(w->encryption, "none");
    if (w->flow != NULL && w->flow[0] != '\0')
        return fail(s, ST_E_CONFIG, "--flow: only --type vless has one");
    if (!off || w->decryption != NULL || w->auth != NULL || w->ticket != NULL)
        return fail(s, ST_E_CONFIG,
                    "--encryption and what goes with it is of --type vless; the others have a "
                    "cipher of their own");
    s->n->flow[0] = s->n->decryption[0] = s->n->encryption[0] = '\0';
    return ST_OK;
}

/* ---- Shadowsocks ----------------------------------------------------------------------------- */

static enum status shape_cipher(struct shape *s)
{
    struct db_node *n = s->n;
    const char *name = s->w->cipher != NULL   ? s->w->cipher
                       : n->cipher[0] != '\0' ? n->cipher
                                              : CIPHER_DEFAULT;
    const struct cipher *c = cipher_find(name);
    if (c == NULL)
        return fail(s, ST_E_CONFIG, "--cipher %.32s: " CIPHER_NAMES, name);
    (void)!snprintf(n->cipher, sizeof n->cipher, "%s", c->name);
    if (s->w->server_key == NULL)
        return cipher_key_ok(c, n->server_key) || cipher_key_new(c, n->server_key) == ST_OK
                   ? ST_OK
                   : fail(s, ST_E_CRYPTO, "the machine has no random numbers to give");
    if (!cipher_key_ok(c, s->w->server_key))
        return c->key_bytes != 0
                   ? fail(s, ST_E_CONFIG,
                          "--server-key: %u bytes in base64, %zu characters, for %s", c->key_bytes,
                          (size_t)(c->key_bytes + 2) / 3 * 4, c->name)
                   : fail(s, ST_E_CONFIG, "--server-key: %s has none, only the 2022 editions do",
                          c->name);
    (void)!snprintf(n->server_key, sizeof n->server_key, "%s", s->w->server_key);
    return ST_OK;
}

static enum status shape_shadowsocks(struct shape *s)
{
    const struct node_wish *w = s->w;
    struct db_node *n = s->n;
    if (w->network != NULL && !is(n->network, "tcp"))
        return fail(s, ST_E_CONFIG,
                    "--network %.16s: a Shadowsocks node has tcp, with UDP on the same port",
                    w->network);
    if (w->tls != NULL && n->tls != DB_TLS_NONE)
        return fail(s, ST_E_CONFIG,
                    "--tls %.16s: a Shadowsocks node has none, its cipher does that", w->tls);
    if (w->carrier != NULL)
        return fail(s, ST_E_CONFIG, "%s: not with --type shadowsocks, which has no TLS and no path",
                    w->carrier);
    memcpy(n->network, "tcp", sizeof "tcp");
    n->network_settings[0] = n->tls_settings[0] = '\0';
    n->tls = DB_TLS_NONE;
    return shape_cipher(s);
}

static enum status shape_not_shadowsocks(struct shape *s)
{
    if (s->w->cipher != NULL || s->w->server_key != NULL)
        return fail(s, ST_E_CONFIG, "--cipher and --server-key belong to --type shadowsocks");
    s->n->cipher[0] = '\0';
    crypto_wipe(s->n->server_key, sizeof s->n->server_key);
    return ST_OK;
}

/* ---- Trojan ---------------------------------------------------------------------------------- */

/* The user's secret comes first and in the clear: without TLS anyone could read it. */
static enum status shape_trojan(struct shape *s)
{
    if (s->n->tls != DB_TLS_NONE)
        return ST_OK;
    if (s->w->tls != NULL)
        return fail(s, ST_E_CONFIG,
                    "--tls none: Trojan needs tls or reality; where a proxy in front ends TLS, say "
                    "so in the node's config.json (CertMode none)");
    s->n->tls = DB_TLS_TLS;
    return ST_OK;
}

enum status node_shape_fill(struct db_node *n, const struct node_wish *w,
                            char problem[NODE_SHAPE_PROBLEM])
{
    struct shape s = {n, w, problem};
    bool vless = is(n->type, "vless"), ss = is(n->type, "shadowsocks");
    enum status st = ST_OK;
    problem[0] = '\0';
    if (!vless && !ss && !is(n->type, "vmess") && !is(n->type, "trojan"))
        return fail(&s, ST_E_CONFIG, "--type %.16s: vless, vmess, trojan or shadowsocks", n->type);
    if (!vless)
        st = shape_not_vless(&s);
    if (st == ST_OK && !ss)
        st = shape_not_shadowsocks(&s);
    if (st != ST_OK)
        return st;
    if (vless)
        return shape_vless(&s);
    if (ss)
        return shape_shadowsocks(&s);
    return is(n->type, "trojan") ? shape_trojan(&s) : ST_OK;
}
