#include "control/config/config_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "codec/json.h"

struct answer {
    char *text;
    size_t len, cap;
    bool too_large, nomem;
};

static size_t take(char *data, size_t one, size_t n, void *arg)
{
    struct answer *a = arg;
    (void)one; /* always 1 */
    if (n > JSON_SIZE_MAX - a->len) {
        a->too_large = true;
        return 0;
    }
    if (a->len + n + 1 > a->cap) {
        size_t cap = (a->len + n + 1) * 2;
        char *grown = realloc(a->text, cap);
        if (grown == NULL) {
            a->nomem = true;
            return 0;
        }
        a->text = grown;
        a->cap = cap;
    }
    memcpy(a->text + a->len, data, n);
    a->len += n;
    a->text[a->len] = '\0';
    return n;
}

static CURLcode run(CURL *c, const char *url, struct answer *a, char why[CURL_ERROR_SIZE])
{
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 3L);
    /* A page that was fetched safely does not send us on in the clear. */
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
                     strncmp(url, "https", 5) == 0 ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "v2sp/" V2SP_VERSION);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
    return curl_easy_perform(c);
}

enum status config_fetch(void *arg, const char *url, char **body, size_t *len, char reason[160])
{
    struct answer a = {.text = NULL};
    char why[CURL_ERROR_SIZE] = "";
    (void)arg;
    CURL *c = curl_easy_init();
    CURLcode rc = c != NULL ? run(c, url, &a, why) : CURLE_OUT_OF_MEMORY;
    curl_easy_cleanup(c);
    enum status st = ST_OK;
    if (a.nomem || rc == CURLE_OUT_OF_MEMORY)
        st = ST_E_NOMEM;
    else if (a.too_large)
        st = ST_E_LIMIT;
    else if (rc != CURLE_OK)
        st = ST_E_IO;
    if (st == ST_OK && a.text == NULL) {
        a.text = strdup("");
        st = a.text != NULL ? ST_OK : ST_E_NOMEM;
    }
    if (st == ST_OK) {
        *body = a.text;
        *len = a.len;
        return ST_OK;
    }
    free(a.text);
    const char *text = st == ST_E_NOMEM   ? "out of memory"
                       : st == ST_E_LIMIT ? "larger than 16 MiB"
                       : why[0] != '\0'   ? why
                                          : curl_easy_strerror(rc);
    snprintf(reason, 160, "%.159s", text);
    return st;
}
