#include "tls/cert.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/ascii.h"
#include "crypto/mem.h"

static enum status fail(struct cert_error *err, enum status st, const char *text, const char *what)
{
    snprintf(err->text, sizeof(err->text), "%s%s%s", text, what != NULL ? ": " : "",
             what != NULL ? what : "");
    ERR_clear_error();
    return st;
}

/* ---- reading PEM ----------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Reads all certificates of @bio: the first is the leaf. */
static enum status read_chain(struct cert *c, BIO *bio, struct cert_error *err)
{
    X509 *x;

    while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (c->leaf == NULL) {
            c->leaf = x;
            continue;
        }
        if (c->chain == NULL)
            c->chain = sk_X509_new_null();
        if (c->chain == NULL || sk_X509_push(c->chain, x) == 0) {
            X509_free(x);
            return ST_E_NOMEM;
        }
    }
    unsigned long e = ERR_peek_last_error();
    if (c->leaf == NULL)
        return fail(err, ST_E_CONFIG, "no certificate found in PEM form", NULL);
    if (ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
        return fail(err, ST_E_CONFIG, "damaged certificate", ERR_reason_error_string(e));
    ERR_clear_error();
    return ST_OK;
}

/* Reads the first block that calls itself a private key, by its contents. */
static enum status read_key(struct cert *c, BIO *bio, struct cert_error *err)
{
    char *name, *header;
    unsigned char *data;
    long len;

    while (c->key == NULL && PEM_read_bio(bio, &name, &header, &data, &len) == 1) {
        bool is_key = ends_with(name, "PRIVATE KEY");
        bool locked =
            is_key && (strstr(name, "ENCRYPTED") != NULL || strstr(header, "ENCRYPTED") != NULL);
        const unsigned char *p = data;
        if (is_key && !locked)
            c->key = d2i_AutoPrivateKey(NULL, &p, len);
        bool damaged = is_key && !locked && c->key == NULL;
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)len);
        if (locked)
            return fail(err, ST_E_CONFIG, "the private key is encrypted", NULL);
        if (damaged)
            return fail(err, ST_E_CONFIG, "damaged private key", NULL);
    }
    if (c->key == NULL)
        return fail(err, ST_E_CONFIG, "no private key found in PEM form", NULL);
    ERR_clear_error();
    return ST_OK;
}

static enum status read_pair(struct cert *c, BIO *chain, BIO *key, struct cert_error *err)
{
    enum status st = read_chain(c, chain, err);

    if (st == ST_OK)
        st = read_key(c, key, err);
    if (st == ST_OK && X509_check_private_key(c->leaf, c->key) != 1)
        st = fail(err, ST_E_CONFIG, "the private key does not belong to the certificate", NULL);
    if (st != ST_OK)
        cert_fini(c);
    return st;
}

enum status cert_parse(struct cert *c, const char *chain_pem, size_t chain_len, const char *key_pem,
                       size_t key_len, struct cert_error *err)
{
    enum status st = ST_E_NOMEM;
    BIO *chain = NULL, *key = NULL;

    memset(c, 0, sizeof(*c));
    err->text[0] = '\0';
    if (chain_len > CERT_PEM_MAX || key_len > CERT_PEM_MAX)
        return fail(err, ST_E_CONFIG, "certificate or key too long", NULL);
    chain = BIO_new_mem_buf(chain_pem, (int)chain_len);
    key = BIO_new_mem_buf(key_pem, (int)key_len);
    if (chain != NULL && key != NULL)
        st = read_pair(c, chain, key, err);
    BIO_free(chain);
    BIO_free(key);
    return st;
}

/* Copies a file into memory, so that a device or a huge file costs no more than CERT_PEM_MAX. */
static enum status slurp(const char *path, BIO **out, struct cert_error *err)
{
    char part[4096];
    struct stat info;
    /* Opening a pipe would wait for somebody to write to it. */
    bool pipe = stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
    BIO *file = pipe ? NULL : BIO_new_file(path, "r"), *mem = BIO_new(BIO_s_mem());
    enum status st = ST_OK;
    size_t total = 0;
    int n;

    if (pipe)
        st = fail(err, ST_E_CONFIG, "is a pipe", path);
    else if (file == NULL)
        st = fail(err, ST_E_NOTFOUND, "cannot open", path);
    else if (mem == NULL)
        st = ST_E_NOMEM;
    while (st == ST_OK && (n = BIO_read(file, part, sizeof(part))) > 0) {
        total += (size_t)n;
        if (total > CERT_PEM_MAX)
            st = fail(err, ST_E_CONFIG, "file too long", path);
        else if (BIO_write(mem, part, n) != n)
            st = ST_E_NOMEM;
    }
    crypto_wipe(part, sizeof(part));
    BIO_free(file);
    if (st != ST_OK) {
        BIO_free(mem);
        mem = NULL;
    }
    *out = mem;
    return st;
}

enum status cert_load(struct cert *c, const char *chain_path, const char *key_path,
                      struct cert_error *err)
{
    BIO *chain = NULL, *key = NULL;

    memset(c, 0, sizeof(*c));
    err->text[0] = '\0';
    enum status st = slurp(chain_path, &chain, err);
    if (st == ST_OK)
        st = slurp(key_path, &key, err);
    if (st == ST_OK)
        st = read_pair(c, chain, key, err);
    BIO_free(chain);
    BIO_free(key);
    return st;
}

void cert_fini(struct cert *c)
{
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    memset(c, 0, sizeof(*c));
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool add_name(struct arena *a, const char **names, size_t *n, const ASN1_STRING *s)
{
    const unsigned char *text = ASN1_STRING_get0_data(s);
    size_t len = (size_t)ASN1_STRING_length(s);

    if (len == 0 || len > 255 || memchr(text, 0, len) != NULL)
        return true; /* no name a client could ask for */
    char *copy = arena_strndup(a, (const char *)text, len);
    if (copy == NULL)
        return false;
    names[(*n)++] = ascii_lower_text(copy);
    return true;
}

enum status cert_names(const struct cert *c, struct arena *a, const char *const **names,
                       size_t *count)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
    X509_NAME *subject = X509_get_subject_name(c->leaf);
    int cn = X509_NAME_get_index_by_NID(subject, NID_commonName, -1),
        many = sk_GENERAL_NAME_num(sans);
    const char **list = arena_alloc(a, sizeof(*list) * ((size_t)(many > 0 ? many : 0) + 1));
    bool ok = list != NULL;
    size_t n = 0;

    if (ok && cn >= 0)
        ok = add_name(a, list, &n, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, cn)));
    for (int i = 0; ok && i < many; i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);
        if (san->type == GEN_DNS)
            ok = add_name(a, list, &n, san->d.dNSName);
    }
    GENERAL_NAMES_free(sans);
    *names = list;
    *count = n;
    return ok ? ST_OK : ST_E_NOMEM;
}

bool cert_names_match(const char *const *names, size_t count, const char *sni)
{
    const char *dot = strchr(sni, '.');

    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(names[i], sni) == 0)
            return true;
        if (dot != NULL && names[i][0] == '*' && strcasecmp(names[i] + 1, dot) == 0)
            return true;
    }
    return false;
}

int64_t cert_not_after(const struct cert *c)
{
    const ASN1_TIME *end = X509_get0_notAfter(c->leaf);
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    bool ok = epoch != NULL && end != NULL && ASN1_TIME_diff(&days, &seconds, epoch, end) == 1;

    ASN1_TIME_free(epoch);
    return ok ? (int64_t)days * 86400 + seconds : 0;
}
