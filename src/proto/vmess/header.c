#include "proto/vmess/header.h"

#include <string.h>

#include "base/bytes.h"
#include "codec/proxy_address.h"
#include "crypto/checksum.h"
#include "crypto/mem.h"

#define VERSION       1
#define NONCE_AT      34u
#define HEADER_MIN    38u /* up to the address */
#define CHECKSUM_LEN  4u
#define ANSWER_HEADER 4u

bool vmess_auth_id_read(const uint8_t plain[VMESS_AUTH_ID_LEN], int64_t *time_s)
{
    *time_s = (int64_t)get_be64(plain);
    return checksum_crc32(plain, 12) == get_be32(plain + 12);
}

/* Opens @len bytes of @data under the key and nonce of two labels. */
static enum status open_part(const struct vmess_kdf *k, struct crypto_ctx *cc,
                             enum vmess_label label, const uint8_t key[VMESS_KEY_LEN],
                             const uint8_t *fixed, uint8_t *data, size_t len)
{
    uint8_t part_key[VMESS_KEY_LEN], nonce[VMESS_KEY_LEN];

    vmess_kdf_request(k, label, key, fixed, fixed + NONCE_AT, part_key);
    vmess_kdf_request(k, (enum vmess_label)(label + 1), key, fixed, fixed + NONCE_AT, nonce);
    enum status st = aead_open(cc, AEAD_AES_128_GCM, part_key, nonce, fixed, VMESS_AUTH_ID_LEN,
                               data, len, data + len);
    crypto_wipe(part_key, sizeof(part_key));
    crypto_wipe(nonce, sizeof(nonce));
    return st;
}

enum status vmess_header_length(const struct vmess_kdf *k, struct crypto_ctx *cc,
                                const uint8_t key[VMESS_KEY_LEN],
                                const uint8_t fixed[VMESS_FIXED_LEN], size_t *len)
{
    uint8_t sealed[2 + AEAD_TAG_LEN];

    memcpy(sealed, fixed + VMESS_AUTH_ID_LEN, sizeof(sealed));
    enum status st = open_part(k, cc, VMESS_LABEL_LENGTH_KEY, key, fixed, sealed, 2);
    if (st != ST_OK)
        return st;
    *len = get_be16(sealed);
    return *len <= VMESS_PLAIN_MAX ? ST_OK : ST_E_LIMIT;
}

enum status vmess_header_open(const struct vmess_kdf *k, struct crypto_ctx *cc,
                              const uint8_t key[VMESS_KEY_LEN], uint8_t *request, size_t len)
{
    return open_part(k, cc, VMESS_LABEL_HEADER_KEY, key, request, request + VMESS_FIXED_LEN, len);
}

static enum status flaw(struct why *why, const char *text, long number)
{
    return why_set(why, ST_E_PROTO, text, number);
}

/* What a server must not go on with. */
static enum status judge(const struct vmess_header *h, struct why *why)
{
    if (h->security < VMESS_AES_128_GCM || h->security > VMESS_NONE)
        return why_set(why, ST_E_UNSUPPORTED, "vmess: unknown security", h->security);
    /* A stream without chunks has no datagrams. */
    if (h->command == VMESS_UDP && h->security == VMESS_NONE && !(h->options & VMESS_CHUNKS))
        return why_set(why, ST_E_UNSUPPORTED, "vmess: UDP without chunks", 0);
    return ST_OK;
}

enum status vmess_header_parse(const uint8_t *plain, size_t len, struct vmess_header *h,
                               struct why *why)
{
    struct reader r = reader_of(plain, len);
    enum status st;

    memset(h, 0, sizeof(*h));
    if (len < HEADER_MIN + CHECKSUM_LEN)
        return flaw(why, "vmess: header too short", (long)len);
    if (reader_u8(&r) != VERSION)
        return flaw(why, "vmess: unknown version", plain[0]);
    memcpy(h->iv, reader_take(&r, VMESS_KEY_LEN), VMESS_KEY_LEN);
    memcpy(h->key, reader_take(&r, VMESS_KEY_LEN), VMESS_KEY_LEN);
    h->verifier = reader_u8(&r);
    h->options = reader_u8(&r);
    uint8_t packed = reader_u8(&r); /* length of the padding, security */
    h->security = packed & 0x0f;
    (void)reader_u8(&r); /* reserved */
    h->command = reader_u8(&r);
    if (h->command < VMESS_TCP || h->command > VMESS_MUX)
        return why_set(why, ST_E_UNSUPPORTED, "vmess: unknown command", h->command);
    if (h->command != VMESS_MUX) {
        st = proxy_address_read(&r, PROXY_ADDRESS_V2RAY, &h->target);
        if (st != ST_OK)
            return flaw(why, "vmess: bad target address", 0);
    }
    (void)reader_take(&r, packed >> 4);
    size_t summed = (size_t)(r.p - plain);
    uint32_t sum = reader_u32(&r);
    if (r.bad)
        return flaw(why, "vmess: header too short", (long)len);
    if (sum != checksum_fnv1a(plain, summed))
        return flaw(why, "vmess: wrong checksum", 0);
    return judge(h, why);
}

enum status vmess_answer_seal(const struct vmess_kdf *k, struct crypto_ctx *cc,
                              const uint8_t key[VMESS_KEY_LEN], const uint8_t iv[VMESS_KEY_LEN],
                              uint8_t verifier, uint8_t out[VMESS_ANSWER_LEN])
{
    uint8_t part_key[VMESS_KEY_LEN], nonce[VMESS_KEY_LEN];
    uint8_t *header = out + 2 + AEAD_TAG_LEN;
    enum status st;

    put_be16(out, ANSWER_HEADER);
    vmess_kdf_key(k, VMESS_LABEL_ANSWER_LENGTH_KEY, key, part_key);
    vmess_kdf_key(k, VMESS_LABEL_ANSWER_LENGTH_IV, iv, nonce);
    st = aead_seal(cc, AEAD_AES_128_GCM, part_key, nonce, NULL, 0, out, 2, out + 2);
    if (st != ST_OK)
        goto out;
    /* No option and no command is defined any more. */
    memset(header, 0, ANSWER_HEADER);
    header[0] = verifier;
    vmess_kdf_key(k, VMESS_LABEL_ANSWER_KEY, key, part_key);
    vmess_kdf_key(k, VMESS_LABEL_ANSWER_IV, iv, nonce);
    st = aead_seal(cc, AEAD_AES_128_GCM, part_key, nonce, NULL, 0, header, ANSWER_HEADER,
                   header + ANSWER_HEADER);
out:
    crypto_wipe(part_key, sizeof(part_key));
    crypto_wipe(nonce, sizeof(nonce));
    return st;
}
