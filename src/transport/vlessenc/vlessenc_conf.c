#include "transport/vlessenc/vlessenc_conf.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "transport/vlessenc/vlessenc_tickets.h"

#define NAME         "mlkem768x25519plus"
#define PADDING_LEN  20u /* a shorter part is a padding rule, a longer one a key */
#define LIFETIME_MAX 65535u
#define KEEP_MORE_S  120u /* a ticket is honoured so much longer than its client uses it */
#define TEXT_MAX     2048u

static enum status refuse(struct conf_error *err, const char *text)
{
    snprintf(err->text, sizeof(err->text), "vless encryption: %s", text);
    return ST_E_CONFIG;
}

/* The part of a dotted text that begins at @*p; steps over it and its dot. */
struct part {
    const char *p;
    size_t n;
};

static struct part next_part(const char **p)
{
    struct part out = {*p, strcspn(*p, ".")};

    *p += out.n + ((*p)[out.n] == '.');
    return out;
}

static bool is(struct part t, const char *text)
{
    return t.n == strlen(text) && memcmp(t.p, text, t.n) == 0;
}

static enum status read_mode(struct vlessenc_conf *c, struct part t, struct conf_error *err)
{
    if (is(t, "native"))
        c->mode = VLESSENC_NATIVE;
    else if (is(t, "xorpub"))
        c->mode = VLESSENC_XORPUB;
    else if (is(t, "random"))
        c->mode = VLESSENC_RANDOM;
    else
        return refuse(err, "mode: must be native, xorpub or random");
    return ST_OK;
}

static bool read_seconds(const char **p, const char *end, uint32_t *out)
{
    const char *start = *p;

    *out = 0;
    while (*p < end && **p >= '0' && **p <= '9' && *out <= LIFETIME_MAX)
        *out = *out * 10 + (uint32_t)(*(*p)++ - '0');
    return *p > start && *out <= LIFETIME_MAX;
}

/* "600s", "600", "300-600s". */
static enum status read_lifetime(struct vlessenc_conf *c, struct part t, struct conf_error *err)
{
    const char *p = t.p, *end = t.p + t.n;
    bool good = read_seconds(&p, end, &c->from_s);

    if (good && p < end && *p == '-') {
        p++;
        good = read_seconds(&p, end, &c->to_s);
    }
    if (good && p < end && *p == 's')
        p++;
    if (!good || p != end)
        return refuse(err, "ticket: must be seconds up to 65535, such as 600s or 300-600s");
    if (c->to_s != 0 && c->from_s > c->to_s) {
        uint32_t swap = c->from_s;
        c->from_s = c->to_s;
        c->to_s = swap;
    }
    return ST_OK;
}

static enum status read_padding(struct vlessenc_conf *c, struct part t, struct conf_error *err)
{
    enum status st = vlessenc_padding_add(&c->padding, t.p, t.n);

    if (st == ST_E_LIMIT)
        return refuse(err, "server_padding: too many rules, or longer than 65553 bytes in all");
    if (st != ST_OK)
        return refuse(err, "server_padding: must be rules percent-min-max, the first of at least "
                           "100-35-35, gaps up to 30000 ms");
    return ST_OK;
}

/* What is known of a key from its public half. */
static void describe(struct vlessenc_key *k, const uint8_t *pub, size_t len)
{
    blake3_hash(pub, len, k->hash);
    blake3_derive_key("VLESS", 5, pub, len, k->mask_key);
}

static enum status take_key(struct vlessenc_key *k, const uint8_t *secret, size_t len)
{
    uint8_t pub[MLKEM_PUBLIC_LEN];

    if (len == X25519_LEN) {
        enum status st = x25519_public(secret, pub);
        if (st == ST_OK)
            st = x25519_key_new(secret, &k->x25519);
        k->share_len = X25519_LEN;
        if (st == ST_OK)
            describe(k, pub, X25519_LEN);
        return st;
    }
    memcpy(k->mlkem_seed, secret, MLKEM_SEED_LEN);
    mlkem_public(k->mlkem_seed, pub);
    k->share_len = MLKEM_CIPHER_LEN;
    describe(k, pub, sizeof(pub));
    return ST_OK;
}

static enum status read_key(struct vlessenc_conf *c, struct part t, struct conf_error *err)
{
    uint8_t secret[BASE64_DECODED_MAX(88)];
    size_t len = 0;
    enum status st = ST_E_CONFIG;

    while (t.n > 0 && t.p[t.n - 1] == '=')
        t.n--;
    if (c->key_count == VLESSENC_KEYS_MAX)
        return refuse(err, "more than 8 keys");
    if (t.n <= 88)
        st = base64_decode(secret, &len, t.p, t.n, BASE64_URL | BASE64_UNPADDED | BASE64_ANY_TAIL);
    if (st == ST_OK && (len == X25519_LEN || len == MLKEM_SEED_LEN)) {
        struct vlessenc_key *k = &c->key[c->key_count++];
        st = take_key(k, secret, len);
        c->relays_len += k->share_len + (c->key_count > 1 ? BLAKE3_LEN : 0);
    } else {
        st = refuse(err, "private_key: must be 32 bytes (X25519) or 64 (ML-KEM-768 seed) in "
                         "base64url");
    }
    crypto_wipe(secret, sizeof(secret));
    return st;
}

enum status vlessenc_conf_read(struct vlessenc_conf *c, const char *text, struct conf_error *err)
{
    enum status st;

    if (!is(next_part(&text), NAME))
        return refuse(err, "only " NAME " is known");
    if ((st = read_mode(c, next_part(&text), err)) != ST_OK ||
        (st = read_lifetime(c, next_part(&text), err)) != ST_OK)
        return st;
    while (*text != '\0' && st == ST_OK) {
        struct part t = next_part(&text);
        if (t.n >= PADDING_LEN)
            st = read_key(c, t, err);
        else if (c->key_count == 0)
            st = read_padding(c, t, err);
        else
            st = refuse(err, "a padding rule behind a key, or a key that is too short");
    }
    if (st == ST_OK && c->key_count == 0)
        st = refuse(err, "private_key: is missing");
    if (c->padding.len_count == 0)
        vlessenc_padding_default(&c->padding);
    if (st == ST_OK && (c->from_s > 0 || c->to_s > 0)) {
        c->tickets = vlessenc_tickets_new((c->to_s > 0 ? c->to_s : c->from_s) + KEEP_MORE_S);
        st = c->tickets != NULL ? ST_OK : ST_E_NOMEM;
    }
    return st;
}

void vlessenc_conf_wipe(struct vlessenc_conf *c)
{
    for (unsigned i = 0; i < c->key_count; i++)
        x25519_key_free(c->key[i].x25519);
    vlessenc_tickets_free(c->tickets);
    crypto_wipe(c, sizeof(*c));
}

/* ---- the panel's words ----------------------------------------------------------------------- */

/* A text or a number of @obj under either name; "" if there is none. False: it is neither. */
static bool word(const struct json_t *obj, const char *key, char *dst, size_t size)
{
    const struct json_t *v = json_get(obj, key);
    int64_t n = 0;
    int len = 0;

    dst[0] = '\0';
    if (v == NULL || json_is_null(v))
        return true;
    if (json_str(v) != NULL)
        len = snprintf(dst, size, "%s", json_str(v));
    else if (json_to_int(v, 0, &n) == ST_OK)
        len = snprintf(dst, size, "%lld", (long long)n);
    else
        return false;
    return len >= 0 && (size_t)len < size;
}

/* The decryption string out of its pieces, as the panels' nodes join it. */
static enum status join(const struct json_t *node, char text[TEXT_MAX], struct conf_error *err)
{
    const struct json_t *s = json_get(node, "encryption_settings");
    char mode[32], ticket[32], padding[512], key[1024];
    enum status st = ST_OK;

    s = s != NULL ? s : json_get(node, "encryptionSettings");
    bool good = word(s, "mode", mode, sizeof(mode)) && word(s, "ticket", ticket, sizeof(ticket)) &&
                word(s, "server_padding", padding, sizeof(padding)) &&
                word(s, "private_key", key, sizeof(key));
    if (!good)
        st = refuse(err, "encryption_settings: a text was expected, or it is too long");
    else if (key[0] == '\0')
        st = refuse(err, "encryption_settings: private_key is missing");
    else
        snprintf(text, TEXT_MAX, "%s.%s.%s%s%s.%s", NAME, mode[0] != '\0' ? mode : "native",
                 ticket[0] != '\0' ? ticket : "600s", padding[0] != '\0' ? "." : "", padding, key);
    crypto_wipe(key, sizeof(key));
    return st;
}

enum status vlessenc_conf_parse(struct arena *a, const struct json_t *settings,
                                const struct conf_context *ctx, const void **conf,
                                struct conf_error *err)
{
    const char *decryption = json_get_str(settings, "decryption", "");
    const char *encryption = json_get_str(settings, "encryption", "");
    struct vlessenc_conf *c;
    char text[TEXT_MAX];
    enum status st = ST_OK;

    if (ctx->fallback)
        return refuse(err, "cannot be used together with fallbacks");
    if ((decryption[0] == '\0' || strcmp(decryption, "none") == 0) && strcmp(encryption, NAME) != 0)
        return refuse(err, "only " NAME " is known");
    c = arena_alloc(a, sizeof(*c));
    if (c == NULL)
        return ST_E_NOMEM;
    if (decryption[0] == '\0' || strcmp(decryption, "none") == 0) {
        if ((st = join(settings, text, err)) == ST_OK)
            st = vlessenc_conf_read(c, text, err);
    } else {
        st = vlessenc_conf_read(c, decryption, err);
    }
    crypto_wipe(text, sizeof(text));
    if (st == ST_OK) {
        *conf = c;
        return ST_OK;
    }
    vlessenc_conf_wipe(c);
    if (err->text[0] == '\0')
        (void)refuse(err, status_str(st));
    return st;
}

void vlessenc_conf_free(const void *conf)
{
    vlessenc_conf_wipe((struct vlessenc_conf *)(uintptr_t)conf);
}
