/* Key pairs for VLESS encryption, in the words of Xray's command of this name. */
#include <stdio.h>
#include <string.h>

#include "app/cmd.h"
#include "codec/base64.h"
#include "crypto/mem.h"
#include "crypto/mlkem.h"
#include "crypto/rng.h"
#include "crypto/x25519.h"

#define KEY_TEXT(n) (BASE64_ENCODED_LEN(n) + 1)

static int run(int argc, char **argv);

const struct cmd cmd_vlessenc = {
    .name = "vlessenc",
    .summary = "make keys for VLESS encryption",
    .usage =
        "Usage: v2sp vlessenc [--mode MODE] [--ticket SECONDS]\n"
        "\n"
        "Prints two pairs of settings, of which one is to be used: \"decryption\" goes to the\n"
        "node (the panel's node settings), \"encryption\" to the clients. The first pair\n"
        "proves the server's identity by X25519, the second by ML-KEM-768, which a quantum\n"
        "computer does not break; what is sent is safe from one with both.\n"
        "\n"
        "  --mode MODE       native (default), xorpub or random: what an observer sees of it\n"
        "  --ticket SECONDS  how long clients may come back without a round trip (default\n"
        "                    600s; also 300-600s; 0s: never)\n",
    .run = run,
};

static void print_pair(const char *title, const char *mode, const char *ticket, const char *secret,
                       const char *public)
{
    bool never = strcmp(ticket, "0s") == 0 || strcmp(ticket, "0") == 0;

    printf("Authentication: %s\n", title);
    printf("\"decryption\": \"mlkem768x25519plus.%s.%s.%s\"\n", mode, ticket, secret);
    printf("\"encryption\": \"mlkem768x25519plus.%s.%s.%s\"\n", mode, never ? "1rtt" : "0rtt",
           public);
}

static bool good_ticket(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits;

    if (digits == 0 || digits > 5)
        return false;
    if (*rest == '-') {
        digits = strspn(++rest, "0123456789");
        if (digits == 0 || digits > 5)
            return false;
        rest += digits;
    }
    return *rest == '\0' || strcmp(rest, "s") == 0;
}

static int run(int argc, char **argv)
{
    const char *mode = "native", *ticket = "600s";
    const struct cmd_option options[] = {
        {"--mode", NULL, &mode, NULL}, {"--ticket", NULL, &ticket, NULL}, {NULL, NULL, NULL, NULL}};
    uint8_t priv[X25519_LEN], pub[X25519_LEN], seed[MLKEM_SEED_LEN], ek[MLKEM_PUBLIC_LEN];
    char secret[KEY_TEXT(MLKEM_SEED_LEN)], public[KEY_TEXT(MLKEM_PUBLIC_LEN)];
    const unsigned style = BASE64_URL | BASE64_UNPADDED;
    struct rng r;
    int words, rc = cmd_parse(&cmd_vlessenc, argc, argv, options, NULL, 0, &words);

    if (rc != CMD_GO_ON)
        return rc;
    if (strcmp(mode, "native") != 0 && strcmp(mode, "xorpub") != 0 && strcmp(mode, "random") != 0)
        return cmd_misused(&cmd_vlessenc, "--mode must be native, xorpub or random");
    if (!good_ticket(ticket))
        return cmd_misused(&cmd_vlessenc, "--ticket must be seconds, such as 600s or 300-600s");
    if (rng_init(&r) != ST_OK || x25519_keypair(&r, priv, pub) != ST_OK) {
        fprintf(stderr, "v2sp vlessenc: the machine has no random numbers to give\n");
        return 1;
    }
    rng_bytes(&r, seed, sizeof(seed));
    mlkem_public(seed, ek);
    printf("Use one of the two, do not mix them.\n\n");
    base64_encode(secret, priv, sizeof(priv), style);
    base64_encode(public, pub, sizeof(pub), style);
    print_pair("X25519, not post-quantum", mode, ticket, secret, public);
    base64_encode(secret, seed, sizeof(seed), style);
    base64_encode(public, ek, sizeof(ek), style);
    printf("\n");
    print_pair("ML-KEM-768, post-quantum", mode, ticket, secret, public);
    crypto_wipe(priv, sizeof(priv));
    crypto_wipe(seed, sizeof(seed));
    crypto_wipe(secret, sizeof(secret));
    rng_fini(&r);
    return 0;
}
