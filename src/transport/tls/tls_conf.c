#include "transport/tls/tls_conf.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/mem.h"

#define GROUPS_TEXT_MAX 256u

static enum status fail(struct conf_error *err, const char *key, const char *text)
{
    snprintf(err->text, sizeof(err->text), "tls %s: %.150s", key, text);
    return ST_E_CONFIG;
}

/* Text of @camel or @snake, NULL if there is none or it is empty. */
static const char *text_of(const struct json_t *settings, const char *camel, const char *snake)
{
    const char *text = json_get_str(settings, camel, NULL);

    if (text == NULL)
        text = json_get_str(settings, snake, NULL);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static enum status read_version(const char *text, const char *key, uint16_t *out,
                                struct conf_error *err)
{
    if (text == NULL)
        return ST_OK;
    /* 1.0 and 1.1 are older than this program offers: they mean "no lower bound". */
    if (strcmp(text, "1.0") == 0 || strcmp(text, "1.1") == 0 || strcmp(text, "1.2") == 0)
        *out = 0x0303;
    else if (strcmp(text, "1.3") == 0)
        *out = 0x0304;
    else
        return fail(err, key, "must be \"1.2\" or \"1.3\"");
    return ST_OK;
}

/* Go's names of curves, as Xray takes them, to the library's. Unknown ones pass as they are. */
static const char *group_name(const char *go)
{
    static const char *const names[][2] = {{"curvep256", "P-256"},
                                           {"curvep384", "P-384"},
                                           {"curvep521", "P-521"},
                                           {"x25519", "X25519"},
                                           {"x25519mlkem768", "X25519MLKEM768"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *a = names[i][0], *b = go;
        while (*a != '\0' && *a == (*b >= 'A' && *b <= 'Z' ? *b + 32 : *b)) {
            a++;
            b++;
        }
        if (*a == '\0' && *b == '\0')
            return names[i][1];
    }
    return go;
}

static enum status read_groups(const struct json_t *list, char *text, size_t size,
                               struct conf_error *err)
{
    size_t at = 0;

    text[0] = '\0';
    for (size_t i = 0; i < json_array_len(list); i++) {
        const char *name = json_str(json_at(list, i));
        if (name == NULL)
            return fail(err, "curvePreferences", "must be a list of names");
        int put = snprintf(text + at, size - at, "%s%s", at > 0 ? ":" : "", group_name(name));
        if (put < 0 || (size_t)put >= size - at)
            return fail(err, "curvePreferences", "too long");
        at += (size_t)put;
    }
    return ST_OK;
}

static enum status read_settings(const struct json_t *j, struct ossl_settings *s, char *groups,
                                 struct conf_error *err)
{
    enum status st =
        read_version(text_of(j, "minVersion", "min_version"), "minVersion", &s->min_version, err);

    if (st == ST_OK)
        st = read_version(text_of(j, "maxVersion", "max_version"), "maxVersion", &s->max_version,
                          err);
    if (st == ST_OK && s->min_version != 0 && s->max_version != 0 &&
        s->min_version > s->max_version)
        st = fail(err, "minVersion", "is above maxVersion");
    const struct json_t *curves = json_get(j, "curvePreferences");
    if (st == ST_OK)
        st = read_groups(curves != NULL ? curves : json_get(j, "curve_preferences"), groups,
                         GROUPS_TEXT_MAX, err);
    if (st != ST_OK)
        return st;
    if (groups[0] != '\0')
        s->groups = groups;
    s->ciphers12 = text_of(j, "cipherSuites", "cipher_suites");
    if (json_get_bool(j, "rejectUnknownSni", false) ||
        json_get_bool(j, "reject_unknown_sni", false))
        s->reject_unknown_sni = true;
    return ST_OK;
}

static enum status make_self_signed(const struct conf_context *ctx, struct cert *cert,
                                    struct cert_error *err)
{
    const char *domain = ctx->cert_domain;
    struct cert_pem pem;

    if (domain == NULL || domain[0] == '\0')
        domain = ctx->server_name;
    if (domain == NULL || domain[0] == '\0')
        domain = "localhost";
    enum status st = cert_self_signed(domain, &pem);
    if (st == ST_E_CONFIG)
        snprintf(err->text, sizeof(err->text), "unusable domain: %s", domain);
    if (st == ST_OK)
        st = cert_parse(cert, pem.chain, strlen(pem.chain), pem.key, strlen(pem.key), err);
    crypto_wipe(&pem, sizeof(pem));
    return st;
}

static enum status get_cert(const struct conf_context *ctx, struct cert *cert,
                            struct cert_error *err)
{
    bool chain = ctx->cert_file != NULL && ctx->cert_file[0] != '\0';
    bool key = ctx->key_file != NULL && ctx->key_file[0] != '\0';

    if (chain && key)
        return cert_load(cert, ctx->cert_file, ctx->key_file, err);
    if (ctx->self_signed)
        return make_self_signed(ctx, cert, err);
    snprintf(err->text, sizeof(err->text), "needs a certificate file and a key file");
    return ST_E_CONFIG;
}

/* Certificates and settings that our own handshake does not do are no error: the library does. */
static enum status init_accept(struct tls_conf *c, struct arena *a, const struct ossl_settings *s,
                               const struct conf_context *ctx)
{
    enum status st = ST_E_UNSUPPORTED;

    if (ctx->tls_engine == TLS_ENGINE_AUTO)
        st = accept_conf_init(&c->accept, a, &c->ossl, s);
    c->ours = st == ST_OK;
    return st == ST_E_UNSUPPORTED ? ST_OK : st;
}

enum status tls_conf_parse(struct arena *a, const struct json_t *settings,
                           const struct conf_context *ctx, const void **conf,
                           struct conf_error *err)
{
    static const char *const default_alpn[] = {"h2", "http/1.1"};
    struct cert_error cert_err = {""};
    char groups[GROUPS_TEXT_MAX];
    struct cert cert = {0};
    struct ossl_settings s = {
        .cert = &cert,
        .alpn = ctx->alpn_count > 0 ? ctx->alpn : default_alpn,
        .alpn_count = ctx->alpn_count > 0 ? ctx->alpn_count : 2,
        .reject_unknown_sni = ctx->reject_unknown_sni,
    };

    *conf = NULL;
    err->text[0] = '\0';
    enum status st = read_settings(settings, &s, groups, err);
    if (st != ST_OK)
        return st;
    struct tls_conf *c = arena_alloc(a, sizeof(*c));
    if (c == NULL)
        return ST_E_NOMEM;
    st = get_cert(ctx, &cert, &cert_err);
    if (st == ST_OK)
        st = ossl_conf_init(&c->ossl, a, &s, &cert_err);
    if (st == ST_OK && (st = init_accept(c, a, &s, ctx)) != ST_OK)
        ossl_conf_fini(&c->ossl);
    cert_fini(&cert);
    if (st == ST_OK)
        *conf = c;
    else if (st != ST_E_NOMEM)
        st = fail(err, "certificate", cert_err.text[0] != '\0' ? cert_err.text : status_str(st));
    return st;
}

void tls_conf_free(const void *conf)
{
    if (conf == NULL)
        return;
    /* The configuration was made writable by tls_conf_parse and nobody uses it any more. */
    struct tls_conf *c = (struct tls_conf *)(uintptr_t)conf;
    accept_conf_fini(&c->accept);
    ossl_conf_fini(&c->ossl);
}
