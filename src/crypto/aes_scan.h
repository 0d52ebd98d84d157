/* crypto/aes_scan.h - one AES-128 block decrypted under very many keys, to find the key under which
 * it begins with four zero bytes (FIPS 197). For protocols that name their user by a block only he
 * and the server can read.
 *
 * Keys are expanded once and kept in groups of four, their round keys side by side, so that one
 * load brings the same round of four keys: 176 bytes a key. With AES-NI eight to sixteen
 * decryptions are under way at a time: about 2 ns a key, half of that with VAES, some 200 ns
 * without either (then table look-ups depend on the data: who shares the processor's cache might
 * learn from them). Pure, const, thread-safe. */
#ifndef CRYPTO_AES_SCAN_H
#define CRYPTO_AES_SCAN_H

#include <stddef.h>
#include <stdint.h>

#define AES_SCAN_LANES 4u /* keys a group */
#define AES_SCAN_BLOCK 16u
#define AES_SCAN_NONE  SIZE_MAX

struct aes_scan_group {
    _Alignas(64) uint8_t round[11][AES_SCAN_LANES][AES_SCAN_BLOCK];
};

/* One way to do it. */
struct aes_scan {
    const char *name;
    /* The first key from number @from on, of @n groups, under which @block begins with four zero
     * bytes; AES_SCAN_NONE. Key i is lane i % 4 of group i / 4. A lane that was never set counts as
     * a key. */
    size_t (*find)(const struct aes_scan_group *groups, size_t n, size_t from,
                   const uint8_t block[AES_SCAN_BLOCK]);
    unsigned ns_per_key; /* roughly, for budgets */
};

/* Writes the decryption schedule of @key into lane @lane. */
void aes_scan_set(struct aes_scan_group *g, unsigned lane, const uint8_t key[AES_SCAN_BLOCK]);
/* Decrypts @block under one lane's key. @plain may be @block. */
void aes_scan_open(const struct aes_scan_group *g, unsigned lane,
                   const uint8_t block[AES_SCAN_BLOCK], uint8_t plain[AES_SCAN_BLOCK]);

/* The fastest way this processor offers. Keep the answer: asking traps in a virtual machine. */
const struct aes_scan *aes_scan_best(void);
/* All ways this processor offers, the portable one first; NULL past the last. */
const struct aes_scan *aes_scan_at(size_t i);

#endif
