#include "crypto/gcm_fast.h"

#ifdef HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crypto/mem.h"

#define TAG_LEN 16u

/* The library's functions for one key size. */
struct gcm_calls {
    aes_gcm_pre_t pre;
    aes_gcm_init_t init;
    aes_gcm_enc_dec_update_t update[2]; /* [enum aead_dir] */
    aes_gcm_enc_dec_finalize_t finalize[2];
};

/* The schedule of the last key of one algorithm; it serves both directions. */
struct gcm_slot {
    /* Read with aligned loads; the library's header does not say so. */
    _Alignas(64) struct gcm_key_data schedule;
    struct gcm_calls calls;
    size_t key_len;
    bool keyed;
    uint8_t key[AEAD_KEY_MAX];
};

struct gcm_fast {
    struct gcm_slot slot[2]; /* AES-128, AES-256 */
    _Alignas(64) struct gcm_context_data op;
    struct gcm_slot *now;
    enum aead_dir dir;
};

static void take_calls(struct gcm_fast *g, const IMB_MGR *m)
{
    g->slot[0].key_len = 16;
    g->slot[0].calls = (struct gcm_calls){
        .pre = m->gcm128_pre,
        .init = m->gcm128_init,
        .update = {[AEAD_OPEN] = m->gcm128_dec_update, [AEAD_SEAL] = m->gcm128_enc_update},
        .finalize = {[AEAD_OPEN] = m->gcm128_dec_finalize, [AEAD_SEAL] = m->gcm128_enc_finalize}};
    g->slot[1].key_len = 32;
    g->slot[1].calls = (struct gcm_calls){
        .pre = m->gcm256_pre,
        .init = m->gcm256_init,
        .update = {[AEAD_OPEN] = m->gcm256_dec_update, [AEAD_SEAL] = m->gcm256_enc_update},
        .finalize = {[AEAD_OPEN] = m->gcm256_dec_finalize, [AEAD_SEAL] = m->gcm256_enc_finalize}};
}

/* Lets go of the code of the object that holds @fn; what is needed comes back from the page
 * cache. */
static int drop_code(struct dl_phdr_info *info, size_t size, void *fn)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + ph->p_vaddr, to = from + ph->p_memsz;
        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || (uintptr_t)fn < from ||
            (uintptr_t)fn >= to)
            continue;
        from &= ~(uintptr_t)4095;
        madvise((void *)from, to - from, MADV_DONTNEED);
        return 1;
    }
    return 0;
}

struct gcm_fast *gcm_fast_new(void)
{
    struct gcm_fast *g = NULL;
    IMB_ARCH arch;
    /* The manager's job queues are not wanted, and at 2 MiB a worker too dear to keep: it is made
     * for its choice of functions only. */
    IMB_MGR *mgr = alloc_mb_mgr(0);
    if (mgr == NULL)
        return NULL;
    init_mb_mgr_auto(mgr, &arch);
    if (mgr->features & IMB_FEATURE_VAES)
        g = aligned_alloc(64, (sizeof(*g) + 63) / 64 * 64);
    if (g != NULL) {
        memset(g, 0, sizeof(*g));
        take_calls(g, mgr);
        /* The self-test of all its algorithms has just pulled in 3 MiB of code, a fifth of what the
         * whole program takes at start, of which GCM needs a few pages. */
        dl_iterate_phdr(drop_code, (void *)(uintptr_t)mgr->gcm128_init);
    }
    free_mb_mgr(mgr);
    return g;
}

void gcm_fast_forget(struct gcm_fast *g)
{
    for (int i = 0; g != NULL && i < 2; i++) {
        crypto_wipe(&g->slot[i].schedule, sizeof(g->slot[i].schedule));
        crypto_wipe(g->slot[i].key, sizeof(g->slot[i].key));
        g->slot[i].keyed = false;
    }
}

void gcm_fast_free(struct gcm_fast *g)
{
    if (g == NULL)
        return;
    crypto_wipe(g, sizeof(*g));
    free(g);
}

void gcm_fast_begin(struct gcm_fast *g, enum aead_alg alg, enum aead_dir dir, const uint8_t *key,
                    const uint8_t iv[12], const void *aad, size_t aad_len)
{
    struct gcm_slot *s = &g->slot[alg == AEAD_AES_256_GCM];
    g->now = s;
    g->dir = dir;
    if (!s->keyed || !crypto_ct_equal(s->key, key, s->key_len)) {
        memcpy(s->key, key, s->key_len);
        s->keyed = true;
        s->calls.pre(key, &s->schedule);
    }
    s->calls.init(&s->schedule, &g->op, iv, aad, aad_len);
}

void gcm_fast_update(struct gcm_fast *g, uint8_t *dst, const uint8_t *src, size_t len)
{
    g->now->calls.update[g->dir](&g->now->schedule, &g->op, dst, src, len);
}

void gcm_fast_end(struct gcm_fast *g, uint8_t tag[16])
{
    g->now->calls.finalize[g->dir](&g->now->schedule, &g->op, tag, TAG_LEN);
}

#else

struct gcm_fast *gcm_fast_new(void)
{
    return NULL;
}

void gcm_fast_free(struct gcm_fast *g)
{
    (void)g;
}

void gcm_fast_forget(struct gcm_fast *g)
{
    (void)g;
}

void gcm_fast_begin(struct gcm_fast *g, enum aead_alg alg, enum aead_dir dir, const uint8_t *key,
                    const uint8_t iv[12], const void *aad, size_t aad_len)
{
    (void)g, (void)alg, (void)dir, (void)key, (void)iv, (void)aad, (void)aad_len;
}

void gcm_fast_update(struct gcm_fast *g, uint8_t *dst, const uint8_t *src, size_t len)
{
    (void)g, (void)dst, (void)src, (void)len;
}

void gcm_fast_end(struct gcm_fast *g, uint8_t tag[16])
{
    (void)g, (void)tag;
}

#endif
