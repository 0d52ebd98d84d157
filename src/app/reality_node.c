#include "app/reality_node.h"

#include <stdio.h>
#include <string.h>

#include "app/reality_keys.h"
#include "base/addr.h"
#include "base/arena.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "transport/reality/reality_conf.h"

#define NAMES_MAX 1024

struct fill {
    struct db *db;
    struct db_node *n;
    char *problem;
};

static enum status fail(struct fill *f, enum status st, const char *text)
{
    snprintf(f->problem, REALITY_NODE_PROBLEM, "%s", text);
    return st;
}

static enum status put(struct fill *f, const char *key, const char *value)
{
    enum status st = db_json_set(f->db, f->n->tls_settings, sizeof(f->n->tls_settings), key, value);
    return st == ST_OK ? ST_OK : fail(f, st, db_error(f->db));
}

/* Copies a text member into @dst; false: there is none (also when it does not fit). */
static bool get(const struct fill *f, const char *key, char *dst, size_t size)
{
    struct json_t *v = NULL;
    const char *text = f->n->tls_settings;
    dst[0] = '\0';
    if (text[0] == '\0' || json_parse(text, strlen(text), &v, NULL) != ST_OK)
        return false;
    const char *s = json_get_str(v, key, NULL);
    bool there = s != NULL && strlen(s) < size;
    if (there)
        memcpy(dst, s, strlen(s) + 1);
    json_unref(v);
    return there;
}

static enum status fill_keys(struct fill *f, const struct reality_wish *w)
{
    struct reality_keys fresh, k;
    char given[128], seed[REALITY_KEY_TEXT], verify[REALITY_VERIFY_TEXT];
    uint8_t priv[X25519_LEN];
    enum status st = reality_keys_new(&fresh);
    if (st != ST_OK)
        return fail(f, st, "the machine has no random numbers to give");
    if (w->private_key != NULL)
        snprintf(given, sizeof(given), "%s", w->private_key);
    else if (!get(f, "private_key", given, sizeof(given)) || given[0] == '\0')
        snprintf(given, sizeof(given), "%s", fresh.private_key);
    if (!reality_key_read(given, priv)) {
        st = fail(f, ST_E_CONFIG, "the private key must be 32 bytes in base64url, 43 characters");
        goto out;
    }
    st = reality_keys_of(&k, priv);
    if (st == ST_OK && (st = put(f, "private_key", k.private_key)) == ST_OK)
        st = put(f, "public_key", k.public_key);
    if (st != ST_OK)
        goto out;
    if (w->short_id != NULL)
        st = put(f, "short_id", w->short_id);
    else if (!get(f, "short_id", given, sizeof(given)))
        st = put(f, "short_id", fresh.short_id);
    if (st != ST_OK || !w->mldsa || (get(f, "mldsa65Seed", given, sizeof(given)) && given[0]))
        goto out;
    seed[0] = '\0';
    st = reality_mldsa(seed, verify);
    if (st == ST_E_UNSUPPORTED)
        (void)fail(f, st, MLDSA_UNAVAILABLE_TEXT);
    else if (st == ST_OK && (st = put(f, "mldsa65Seed", seed)) == ST_OK)
        st = put(f, "mldsa65Verify", verify);
    crypto_wipe(seed, sizeof(seed));
out:
    crypto_wipe(&fresh, sizeof(fresh));
    crypto_wipe(&k, sizeof(k));
    crypto_wipe(given, sizeof(given));
    crypto_wipe(priv, sizeof(priv));
    return st;
}

/* The host of @dest when it is a name, "" else. */
static void name_of(const char *dest, char *dst, size_t size)
{
    struct aux_dest d = {.path = NULL};
    struct arena *a = arena_new();
    dst[0] = '\0';
    if (a != NULL && reality_dest_parse(a, dest, 443, &d) == ST_OK && d.path == NULL &&
        d.target.host_len > 0 && strcmp(d.target.host, "localhost") != 0)
        snprintf(dst, size, "%s", d.target.host);
    arena_free(a);
}

/* Each of the two stands for the other where that is missing. */
static enum status fill_target(struct fill *f, const struct reality_wish *w)
{
    char dest[DB_HOST_MAX + 16], name[NAMES_MAX];
    enum status st = ST_OK;
    if (w->names != NULL) {
        size_t n = strcspn(w->names, ",");
        if (n >= sizeof(name))
            return fail(f, ST_E_LIMIT, "the server name is too long");
        memcpy(name, w->names, n);
        name[n] = '\0';
        st = put(f, "server_name", name);
        if (st == ST_OK)
            st = put(f, "server_names", w->names[n] == ',' ? w->names : NULL);
    }
    if (st == ST_OK && w->dest != NULL)
        st = put(f, "dest", w->dest);
    if (st != ST_OK)
        return st;
    bool has_name = get(f, "server_name", name, sizeof(name)) && name[0] != '\0';
    bool has_dest = get(f, "dest", dest, sizeof(dest)) && dest[0] != '\0';
    if (!has_dest && !has_name)
        return fail(f, ST_E_CONFIG,
                    "REALITY needs a target, a site with TLS 1.3: --dest HOST:PORT, and --sni "
                    "NAME, a name in its certificate");
    if (!has_name) {
        name_of(dest, name, sizeof(name));
        if (name[0] == '\0')
            return fail(f, ST_E_CONFIG,
                        "--sni NAME is missing: a name in the certificate of the target");
        return put(f, "server_name", name);
    }
    if (!has_dest) {
        int len = snprintf(dest, sizeof(dest), "%s:443", name);
        return len < (int)sizeof(dest) ? put(f, "dest", dest)
                                       : fail(f, ST_E_LIMIT, "the server name is too long");
    }
    return ST_OK;
}

/* As the node will read it. */
static enum status check(struct fill *f)
{
    struct json_t *v = NULL;
    struct conf_context ctx = {.server_name = NULL};
    struct conf_error err = {""};
    const void *conf = NULL;
    struct arena *a = arena_new();
    enum status st = ST_E_NOMEM;
    if (a != NULL && json_parse(f->n->tls_settings, strlen(f->n->tls_settings), &v, NULL) == ST_OK)
        st = reality_conf_parse(a, v, &ctx, &conf, &err);
    reality_conf_free(conf);
    if (st != ST_OK)
        (void)fail(f, st, err.text[0] != '\0' ? err.text : status_str(st));
    json_unref(v);
    arena_free(a);
    return st;
}

enum status reality_node_fill(struct db *db, struct db_node *n, const struct reality_wish *w,
                              char problem[REALITY_NODE_PROBLEM])
{
    struct fill f = {db, n, problem};
    problem[0] = '\0';
    if (strcmp(n->network, "tcp") != 0 && strcmp(n->network, "grpc") != 0 &&
        strcmp(n->network, "xhttp") != 0)
        return fail(&f, ST_E_UNSUPPORTED,
                    "clients speak REALITY over the networks tcp, grpc and xhttp only");
    if (w->short_id != NULL && !reality_short_id_ok(w->short_id))
        return fail(&f, ST_E_CONFIG,
                    "the short id must be an even number of hex digits, 16 at most");
    enum status st = fill_keys(&f, w);
    if (st == ST_OK)
        st = fill_target(&f, w);
    if (st == ST_OK)
        st = check(&f);
    if (st != ST_OK && problem[0] == '\0')
        (void)fail(&f, st, status_str(st));
    return st;
}
