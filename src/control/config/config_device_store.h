/* control/config/config_device_store.h - the store that shares devices of users between
 * processes, as config.json has it: DeviceStore of a node or of the file, or XrayR's
 * GlobalDeviceLimitConfig. Part of struct config, which owns the texts. */
#ifndef CONTROL_CONFIG_CONFIG_DEVICE_STORE_H
#define CONTROL_CONFIG_CONFIG_DEVICE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_STORE_PATH_MAX 107u /* sun_path without its NUL */

struct config_device_store {
    bool given;          /* written down; else that of the file counts */
    bool on;             /* else nothing of the rest counts */
    const char *address; /* as written, for messages */
    const char *path;    /* unix socket; "" = TCP */
    const char *host;    /* numeric or a name, without brackets */
    uint16_t port;
    const char *username, *password;  /* "" = none; the latter is a secret */
    bool tls, insecure;               /* the latter: whoever the server is */
    const char *ca;                   /* PEM file; "" = the system's roots */
    const char *server_name;          /* in its certificate; "" = host */
    const char *cert_file, *key_file; /* our own, PEM; both "" = none */
    uint32_t db;
    const char *prefix;  /* of keys */
    uint32_t expiry_s;   /* of what is in it when nobody refreshes it */
    uint32_t timeout_ms; /* of connecting, and of an answer */
};

/* The defaults: none given, nothing on. */
void config_device_store_init(struct config_device_store *s);
/* The same server, asked in the same way. */
bool config_device_store_equal(const struct config_device_store *a,
                               const struct config_device_store *b);

#endif
