/* crypto/aes_scan_x86.h - the ways of crypto/aes_scan.h that need instructions beyond the base of
 * x86-64. Only for aes_scan.c, which knows what the processor offers. */
#ifndef CRYPTO_AES_SCAN_X86_H
#define CRYPTO_AES_SCAN_X86_H

#include "crypto/aes_scan.h"

#ifdef __x86_64__
/* As aes_scan.find. */
size_t aes_scan_find_aesni(const struct aes_scan_group *groups, size_t n, size_t from,
                           const uint8_t block[AES_SCAN_BLOCK]);
size_t aes_scan_find_vaes256(const struct aes_scan_group *groups, size_t n, size_t from,
                             const uint8_t block[AES_SCAN_BLOCK]);
size_t aes_scan_find_vaes512(const struct aes_scan_group *groups, size_t n, size_t from,
                             const uint8_t block[AES_SCAN_BLOCK]);
#endif

#endif
