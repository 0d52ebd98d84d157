/* http/host_path.h - which requests a transport takes as its own: Host and path of the node's
 * settings against those of a request. Pure. Source: Xray-core 25.12.1
 * transport/internet/internet.go and websocket/hub.go. */
#ifndef HTTP_HOST_PATH_H
#define HTTP_HOST_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "codec/http1.h"

/* Whether a request for @host belongs to the @configured name, any letter case. A port is cut off
 * the request's only, so a configured name with a port matches nothing; "::1" is asked for as
 * "[::1]:80". */
bool http_host_matches(const char *configured, struct http1_str host);

/* A path as it is compared: the text of the settings without its "ed" parameter, with a slash in
 * front. */
struct http_path {
    const char *text;    /* in the arena */
    const char *decoded; /* the same, percent-decoded: a panel may mean either */
    size_t text_len, decoded_len;
    uint32_t early_data; /* N of "?ed=N"; the client's matter, here for the log only */
};

/* Reads a configured path (NULL = "/"). ST_OK or ST_E_NOMEM. */
NODISCARD enum status http_path_parse(struct arena *a, const char *configured,
                                      struct http_path *out);

/* Compares the decoded path of a request, exactly. A "?ed=123" at its end is overlooked: sing-box
 * escapes the '?' of a path it does not understand. */
bool http_path_matches(const struct http_path *p, const char *decoded, size_t len);

#endif
