/* proto/vmess/header.h - what opens a VMess AEAD connection and what answers it: formats only
 * (Xray-core 25.12.1 proxy/vmess/aead, proxy/vmess/encoding). Pure.
 *
 *   request   AuthID 16 | sealed length 2 + 16 | nonce 8 | sealed header L + 16 | body
 *   answer    sealed length 2 + 16 | sealed header 4 + 16 | body */
#ifndef PROTO_VMESS_HEADER_H
#define PROTO_VMESS_HEADER_H

#include <stdbool.h>

#include "base/addr.h"
#include "crypto/aead.h"
#include "proto/vmess/kdf.h"

#define VMESS_AUTH_ID_LEN 16u
#define VMESS_FIXED_LEN   42u  /* up to where the sealed header begins */
#define VMESS_PLAIN_MAX   512u /* no client sends more than 316 bytes of header */
#define VMESS_REQUEST_MAX (VMESS_FIXED_LEN + VMESS_PLAIN_MAX + AEAD_TAG_LEN)
#define VMESS_ANSWER_LEN  38u

enum vmess_command { VMESS_TCP = 1, VMESS_UDP = 2, VMESS_MUX = 3 };

enum vmess_option {
    VMESS_CHUNKS = 1,         /* security "none" comes in chunks, and an end is announced */
    VMESS_MASKED = 4,         /* sizes are masked */
    VMESS_PADDED = 8,         /* chunks are padded */
    VMESS_SEALED_LENGTH = 16, /* sizes are sealed, which overrides masking */
};

/* As sent. "zero" is VMESS_NONE without VMESS_CHUNKS; "auto" and the rest never appear. */
enum vmess_security { VMESS_AES_128_GCM = 3, VMESS_CHACHA20_POLY1305 = 4, VMESS_NONE = 5 };

struct vmess_header {
    uint8_t iv[VMESS_KEY_LEN], key[VMESS_KEY_LEN]; /* of the body */
    uint8_t verifier;                              /* comes back in the answer */
    uint8_t options;                               /* enum vmess_option, others as they came */
    uint8_t security;                              /* enum vmess_security */
    uint8_t command;                               /* enum vmess_command */
    struct target target;                          /* of TCP and UDP */
};

/* True if @plain, a decrypted AuthID, was made with our key: its checksum fits. *@time_s is the
 * client's clock, possibly negative. */
bool vmess_auth_id_read(const uint8_t plain[VMESS_AUTH_ID_LEN], int64_t *time_s);

/* Opens the length of the header in @fixed, the first VMESS_FIXED_LEN bytes of a request of the
 * user with @key. ST_OK; ST_E_AUTH; ST_E_LIMIT: over VMESS_PLAIN_MAX; ST_E_CRYPTO. */
NODISCARD enum status vmess_header_length(const struct vmess_kdf *k, struct crypto_ctx *cc,
                                          const uint8_t key[VMESS_KEY_LEN],
                                          const uint8_t fixed[VMESS_FIXED_LEN], size_t *len);
/* Opens the header of @len bytes that lies in @request behind the fixed part, in place. ST_OK,
 * ST_E_AUTH, ST_E_CRYPTO. */
NODISCARD enum status vmess_header_open(const struct vmess_kdf *k, struct crypto_ctx *cc,
                                        const uint8_t key[VMESS_KEY_LEN], uint8_t *request,
                                        size_t len);
/* Reads an opened header. ST_OK; ST_E_PROTO: malformed; ST_E_UNSUPPORTED: a command, security or
 * set of options that no client of today may use; @why says which. */
NODISCARD enum status vmess_header_parse(const uint8_t *plain, size_t len, struct vmess_header *h,
                                         struct why *why);

/* Writes the answer to a request with the given keys of the answer. ST_OK or ST_E_CRYPTO. */
NODISCARD enum status vmess_answer_seal(const struct vmess_kdf *k, struct crypto_ctx *cc,
                                        const uint8_t key[VMESS_KEY_LEN],
                                        const uint8_t iv[VMESS_KEY_LEN], uint8_t verifier,
                                        uint8_t out[VMESS_ANSWER_LEN]);

#endif
