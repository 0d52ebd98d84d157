/* control/config/config_node.h - one node as config.json describes it: how to reach its panel,
 * and its options. Part of struct config, which owns everything here; all texts are
 * NUL-terminated and never NULL unless said so. (docs/configuration.md, "A node".) */
#ifndef CONTROL_CONFIG_CONFIG_NODE_H
#define CONTROL_CONFIG_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "control/config/config_device_store.h"
#include "control/config/config_limits.h"
#include "control/config/config_reality.h"
#include "policy/fallback.h"
#include "policy/view.h"

#define CONFIG_LISTEN_MAX VIEW_LISTEN_MAX

struct arena;
struct config;
struct json_t;

/* How the panel is reached; key is a secret. */
struct config_api {
    const char *host; /* v2sp dialect: the full endpoint URL */
    const char *key;  /* token */
    uint64_t node_id;
    const char *node_type;  /* lower case: vless, vmess, trojan, shadowsocks; "": the panel says */
    const char *panel_type; /* "v2sp" (also for "auto") */
    uint32_t timeout_ms;    /* one HTTP attempt; 30 s */
    struct addr send_ip;    /* source address of calls; family 0 = any */
    const char *proxy;      /* URL for CURLOPT_PROXY; "" = none */
    const char *ca;         /* PEM file that replaces the system's roots; "" = system */
    bool insecure;          /* the panel's certificate is not checked */
};

enum config_cert_mode {
    CONFIG_CERT_NONE, /* no TLS, even if the panel says tls=1: a proxy in front ends it */
    CONFIG_CERT_FILE,
    CONFIG_CERT_SELF,
    /* obtaining them comes later: until then the files are used if both are there, */
    CONFIG_CERT_ACME_HTTP,
    CONFIG_CERT_ACME_DNS, /* else a self-signed certificate */
    CONFIG_CERT_ACME_TLS,
};

struct config_env {
    const char *name, *value; /* value is a secret */
};

struct config_cert {
    enum config_cert_mode mode;
    const char *domain; /* "" = none given */
    /* PEM; not FILE: default <StateDir>/cert/<domain>.crt and .key ("" without domain) */
    const char *cert_file, *key_file;
    const char *provider, *email;
    const struct config_env *dns_env;
    size_t dns_env_count;
    bool reject_unknown_sni;
    const char *dir; /* <StateDir>/cert: where certificates lie that we make or obtain */
};

struct config_options {
    /* port 0: server_port of the panel, or @port; default 0.0.0.0 */
    struct addr listen[CONFIG_LISTEN_MAX];
    unsigned listen_count;
    uint16_t port;                  /* replaces the panel's server_port; 0 = the panel's */
    struct addr send_ip4, send_ip6; /* source of outgoing connections; family 0 = any */
    uint64_t online_min_bytes; /* DeviceOnlineMinTraffic: devices below are not reported online */
    uint64_t report_min_bytes; /* ReportMinTraffic: a user's traffic below waits */
    struct config_limits limits;
    struct config_cert cert;
    bool proxy_protocol; /* and who may speak it; count 0: everybody must */
    const struct cidr *proxy_from;
    size_t proxy_from_count;
    /* TrustedXForwardedFor: header names whose presence makes it believed */
    const char *const *trusted_xff;
    size_t trusted_xff_count;
    bool tfo;
    enum view_ip_strategy ip_strategy; /* DNSType if EnableDNS, else VIEW_IP_ANY */
    enum view_ip_strategy dns_type;    /* private: the two halves of ip_strategy */
    bool dns;
    const char *rule_list; /* RuleListPath: a file of block rules; "" = none */
    bool no_panel_rules /* DisableGetRule */, disable_sniffing, disable_iv_check, uot;
    bool fallback; /* EnableFallback; rows as fallback_build() takes them */
    const struct fallback_rule *fallbacks;
    size_t fallback_count;
    struct config_reality reality;
    bool reality_on;    /* EnableREALITY: whatever the panel says about tls */
    bool allow_private; /* users may reach loopback, private and metadata addresses of this host */
    bool mass_delete_guard; /* default: more than half of the users gone must be said twice */
    bool at_most_once;      /* ReportPolicy: a push of unknown outcome is parked, not sent again */
    bool speed_shared;      /* SpeedLimitMode: both directions share a rate; default each its own */
    /* DeviceIPv4Prefix, DeviceIPv6Prefix: networks that count as one device; 32 and 64 */
    uint32_t device_prefix4, device_prefix6;
    uint32_t device_grace_s; /* DeviceGrace: how long a device without sessions counts; 60 s */
    bool device_kick;        /* DeviceOverflow: kick-oldest; default reject-new */
    bool device_limit_kick;  /* DeviceLimitKick: a lowered limit ends the devices over it; on */
    struct config_device_store device_store;
    bool device_private; /* DeviceCountPrivate: sources in private networks are devices, too */
    bool tls_openssl;    /* TlsEngine: OpenSSL does the handshakes that we could do too */
    uint32_t drain_ms;   /* DrainTimeout: how long sessions of a removed node may go on; 30 s */
    uint32_t source_max; /* HandshakesPerSource: unauthenticated connections of one address; 256 */
};

struct config_node {
    const char *tag; /* Name, or "[ApiHost]-type:id"; unique */
    struct config_api api;
    struct config_options options;
    struct view_timeouts timeouts; /* of its core: XrayConnectionConfig or ConnectionConfig */
    const char *file;              /* where it is written, for messages */
    int line, column;
    uint64_t given[3];  /* private: which options are written down, a bit a row of the key tables */
    uint8_t digest[32]; /* private: of all there is above but file, line and column */
};

/* The same node across reloads: ApiHost, NodeID and NodeType are equal. */
bool config_node_same(const struct config_node *a, const struct config_node *b);
/* "<ApiHost>|<NodeID>|<NodeType>": what names the node in the state database. Returns @dst. */
#define CONFIG_IDENTITY_MAX 4096u
char *config_node_identity(const struct config_node *node, char dst[CONFIG_IDENTITY_MAX]);
/* A listener of @a and one of @b would take the same address and port. */
bool config_listens_clash(const struct config_options *a, const struct config_options *b);
/* Nothing differs, so that a reload may leave the node alone. */
bool config_node_equal(const struct config_node *a, const struct config_node *b);

/* Lays the options of a panel's reply under the local ones: what is written in config.json stays,
 * the rest comes from @reply, the rest from the defaults. @reply is the whole answer to
 * action=config: options are taken from its "Nodes" entry with our NodeID (or its only one) and, in
 * a flat reply, from its top level. Never taken from a panel: ApiHost, ApiKey and other ways to
 * reach it, file paths, log outputs, DNSEnv, AllowPrivate, Name, unix sockets as fallback
 * destinations. What cannot be used is skipped and named in @problem (may be NULL; "" if nothing
 * was). @out lives in @a and borrows from @node. ST_OK or ST_E_NOMEM. */
#define CONFIG_PROBLEM_MAX 200
NODISCARD enum status config_node_merge(struct arena *a, const struct config_node *node,
                                        const struct json_t *reply, struct config_options *out,
                                        char problem[CONFIG_PROBLEM_MAX]);
/* The object to read server_port, network and the rest from: @reply itself when it has a
 * server_port or no "Nodes", else the entry of "Nodes" with our NodeID, or its only one. Borrowed;
 * NULL if @reply is no object or has no entry for us. (docs/panel-api.md, "config".) */
const struct json_t *config_node_reply(const struct config_node *node, const struct json_t *reply);

#endif
