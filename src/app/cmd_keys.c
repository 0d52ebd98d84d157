/* Keys on the command line: X25519 pairs, random or derived the way panels derive them, and
 * ML-DSA-65 pairs. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "app/reality_keys.h"
#include "codec/base64.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "crypto/x25519.h"

static int run_x25519(int argc, char **argv);
static int run_reality(int argc, char **argv);
static int run_mldsa65(int argc, char **argv);

const struct cmd cmd_x25519 = {
    .name = "x25519",
    .summary = "make an X25519 key pair",
    .usage = "Usage: v2sp x25519 [--private KEY]\n"
             "\n"
             "Makes a key pair for REALITY and prints both keys in base64url without padding. The\n"
             "private key goes into the panel's node settings, the public key to the clients.\n"
             "\n"
             "  --private KEY   print the public key that belongs to KEY instead of making a new\n"
             "                  pair; -i is the same\n",
    .run = run_x25519,
};

const struct cmd cmd_reality = {
    .name = "reality",
    .summary = "make the keys of a REALITY node, or derive them",
    .usage =
        "Usage: v2sp reality\n"
        "       v2sp reality --node-id N --node-type TYPE --token TOKEN\n"
        "\n"
        "Without options: makes a key pair and a short id. The private key and the short id go\n"
        "into the panel's node settings (or RealityConfig), the public key and the short id to\n"
        "the clients (pbk and sid of a link).\n"
        "\n"
        "With options: prints the X25519 key pair that panel and node derive from what both\n"
        "know, so that the private key need not be stored anywhere: SHA-256 of the number, the\n"
        "type in lower case and the token, clamped.\n"
        "\n"
        "  --node-id N        number of the node in the panel\n"
        "  --node-type TYPE   vless, vmess, trojan, ...\n"
        "  --token TOKEN      the panel's token for the node (ApiKey); \"-\" reads it from\n"
        "                     standard input, so that it does not show in the list of processes\n",
    .run = run_reality,
};

const struct cmd cmd_mldsa65 = {
    .name = "mldsa65",
    .summary = "make an ML-DSA-65 key pair for REALITY",
    .usage =
        "Usage: v2sp mldsa65 [--seed SEED]\n"
        "\n"
        "Makes a key pair by which clients can tell the node from whoever breaks X25519 one day:\n"
        "the seed goes into the node's settings (mldsa65Seed), the verify key to the clients\n"
        "(mldsa65Verify, pqv of a link). It takes OpenSSL 3.5 or later, and a target whose\n"
        "certificates have at least 3544 bytes.\n"
        "\n"
        "  --seed SEED   print the verify key that belongs to SEED instead of making a new pair;\n"
        "                -i is the same\n",
    .run = run_mldsa65,
};

static int no_random(const struct cmd *c)
{
    fprintf(stderr, "v2sp %s: the machine has no random numbers to give\n", c->name);
    return 1;
}

/* Prints the pair and wipes it. Returns the exit status. */
static int print_pair(const struct cmd *c, uint8_t priv[X25519_LEN])
{
    struct reality_keys k;
    enum status st = reality_keys_of(&k, priv);
    crypto_wipe(priv, X25519_LEN);
    if (st != ST_OK) {
        fprintf(stderr, "v2sp %s: the crypto library failed\n", c->name);
        return 1;
    }
    printf("Private key: %s\nPublic key: %s\n", k.private_key, k.public_key);
    crypto_wipe(&k, sizeof(k));
    return 0;
}

static int run_x25519(int argc, char **argv)
{
    const char *given = NULL;
    const struct cmd_option options[] = {{"--private", "-i", &given, NULL},
                                         {NULL, NULL, NULL, NULL}};
    uint8_t priv[X25519_LEN], pub[X25519_LEN];
    int words;
    int rc = cmd_parse(&cmd_x25519, argc, argv, options, NULL, 0, &words);
    if (rc != CMD_GO_ON)
        return rc;
    if (given != NULL) {
        if (!reality_key_read(given, priv))
            return cmd_misused(&cmd_x25519, "the private key must be 32 bytes in base64url, 43 "
                                            "characters");
        return print_pair(&cmd_x25519, priv);
    }
    struct rng r;
    if (rng_init(&r) != ST_OK)
        return no_random(&cmd_x25519);
    enum status st = x25519_keypair(&r, priv, pub);
    rng_fini(&r);
    return st == ST_OK ? print_pair(&cmd_x25519, priv) : no_random(&cmd_x25519);
}

static int print_fresh(void)
{
    struct reality_keys k;
    if (reality_keys_new(&k) != ST_OK)
        return no_random(&cmd_reality);
    printf("Private key: %s\nPublic key: %s\nShort id: %s\n", k.private_key, k.public_key,
           k.short_id);
    crypto_wipe(&k, sizeof(k));
    return 0;
}

/* The first line of standard input; false if there is none. */
static bool read_token(char *dst, size_t cap)
{
    if (fgets(dst, (int)cap, stdin) == NULL)
        return false;
    dst[strcspn(dst, "\r\n")] = '\0';
    return dst[0] != '\0';
}

static int run_reality(int argc, char **argv)
{
    const char *id = NULL, *type = NULL, *token = NULL;
    const struct cmd_option options[] = {{"--node-id", NULL, &id, NULL},
                                         {"--node-type", NULL, &type, NULL},
                                         {"--token", NULL, &token, NULL},
                                         {NULL, NULL, NULL, NULL}};
    uint8_t priv[X25519_LEN];
    char line[512];
    int words;
    int rc = cmd_parse(&cmd_reality, argc, argv, options, NULL, 0, &words);
    if (rc != CMD_GO_ON)
        return rc;
    if (id == NULL && type == NULL && token == NULL)
        return print_fresh();
    if (id == NULL || type == NULL || token == NULL)
        return cmd_misused(&cmd_reality, "%s is missing",
                           id == NULL     ? "--node-id"
                           : type == NULL ? "--node-type"
                                          : "--token");
    char *end;
    errno = 0;
    unsigned long long n = strtoull(id, &end, 10);
    if (!isdigit((unsigned char)id[0]) || *end != '\0' || errno != 0)
        return cmd_misused(&cmd_reality, "--node-id must be a number, not \"%s\"", id);
    if (strcmp(token, "-") == 0) {
        if (!read_token(line, sizeof(line)))
            return cmd_misused(&cmd_reality, "standard input has no token");
        token = line;
    }
    enum status st = x25519_from_node(n, type, token, priv);
    crypto_wipe(line, sizeof(line));
    if (st == ST_E_LIMIT)
        return cmd_misused(&cmd_reality, "--node-type is too long");
    if (st != ST_OK) {
        fprintf(stderr, "v2sp reality: %s\n", status_str(st));
        return 1;
    }
    return print_pair(&cmd_reality, priv);
}

static int run_mldsa65(int argc, char **argv)
{
    const char *given = NULL;
    const struct cmd_option options[] = {{"--seed", "-i", &given, NULL}, {NULL, NULL, NULL, NULL}};
    char seed[REALITY_KEY_TEXT] = "", verify[REALITY_VERIFY_TEXT];
    int words;
    int rc = cmd_parse(&cmd_mldsa65, argc, argv, options, NULL, 0, &words);
    if (rc != CMD_GO_ON)
        return rc;
    uint8_t raw[MLDSA_SEED_LEN];
    if (given != NULL) {
        if (!reality_key_read(given, raw))
            return cmd_misused(&cmd_mldsa65, "the seed must be 32 bytes in base64url, 43 "
                                             "characters");
        base64_encode(seed, raw, sizeof(raw), BASE64_URL | BASE64_UNPADDED);
        crypto_wipe(raw, sizeof(raw));
    }
    enum status st = reality_mldsa(seed, verify);
    if (st == ST_OK)
        printf("Seed: %s\nVerify: %s\n", seed, verify);
    else
        fprintf(stderr, "v2sp mldsa65: %s\n",
                st == ST_E_UNSUPPORTED ? MLDSA_UNAVAILABLE_TEXT ", which this machine does not have"
                                       : status_str(st));
    crypto_wipe(seed, sizeof(seed));
    return st == ST_OK ? 0 : 1;
}
