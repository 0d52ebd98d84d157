#include "control/config/config_keys.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "codec/json.h"

bool config_read_cert_mode(struct config_reader *r, const struct config_path *at,
                           const struct json_t *v, void *dst)
{
    static const struct {
        const char *word;
        enum config_cert_mode mode;
    } modes[] = {{"", CONFIG_CERT_NONE},          {"none", CONFIG_CERT_NONE},
                 {"file", CONFIG_CERT_FILE},      {"self", CONFIG_CERT_SELF},
                 {"http", CONFIG_CERT_ACME_HTTP}, {"dns", CONFIG_CERT_ACME_DNS},
                 {"tls", CONFIG_CERT_ACME_TLS}};
    struct config_cert *c = dst;
    const char *s = json_str(v);
    for (size_t i = 0; s != NULL && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcasecmp(s, modes[i].word) != 0)
            continue;
        if (r->panel && modes[i].mode == CONFIG_CERT_FILE && c->cert_file[0] == '\0') {
            config_report(r, CONFIG_ERROR, at,
                          "the panel asks for certificate files, but config.json names none");
            return false;
        }
        c->mode = modes[i].mode;
        if (c->mode >= CONFIG_CERT_ACME_HTTP)
            config_report(r, CONFIG_NOTICE, at,
                          "CertMode %s is understood but not implemented yet in this version; "
                          "certificate files are used if they are there, else a self-signed one",
                          s);
        return true;
    }
    config_report(r, CONFIG_ERROR, at, "must be none, file, self, http, dns or tls");
    return false;
}

/* The name becomes part of a file name and of a certificate. */
bool config_read_domain(struct config_reader *r, const struct config_path *at,
                        const struct json_t *v, void *dst)
{
    struct config_cert *c = dst;
    const char *s;
    if (!config_text(r, at, v, &s))
        return false;
    size_t len = strlen(s);
    if (len > 253 || s[0] == '.' ||
        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_*") != len) {
        config_report(r, CONFIG_ERROR, at,
                      "\"%.64s\" is no host name (one name such as node1.example.com, no URL)", s);
        return false;
    }
    c->domain = s;
    return true;
}

bool config_read_dns_env(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, void *dst)
{
    struct config_cert *c = dst;
    size_t n = 0;
    if (!json_is_object(v)) {
        config_report(r, CONFIG_ERROR, at, "must be an object of texts");
        return false;
    }
    for (void *it = json_is_array(v) ? NULL : json_first(v); it != NULL; it = json_next(v, it))
        n++;
    struct config_env *list = config_alloc(r, (n + 1) * sizeof(*list));
    if (list == NULL)
        return false;
    n = 0;
    for (void *it = json_is_array(v) ? NULL : json_first(v); it != NULL; it = json_next(v, it)) {
        const char *name = json_iter_key(it);
        if (!config_text(r, CONFIG_KEY(at, name), json_iter_value(it), &list[n].value))
            return false;
        list[n++].name = config_copy(r, name);
    }
    c->dns_env = list;
    c->dns_env_count = n;
    return true;
}
