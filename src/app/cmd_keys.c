/* Keys on the command line: X25519 pairs, random or derived the way panels derive them. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cmd.h"
#include "codec/base64.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "crypto/x25519.h"

#define KEY_TEXT (BASE64_ENCODED_LEN(X25519_LEN) + 1)

static int run_x25519(int argc, char **argv);
static int run_reality(int argc, char **argv);

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
    .summary = "derive the REALITY key pair of a node",
    .usage =
        "Usage: v2sp reality --node-id N --node-type TYPE --token TOKEN\n"
        "\n"
        "Prints the X25519 key pair that panel and node derive from what both know, so that\n"
        "the private key need not be stored anywhere: SHA-256 of the number, the type in\n"
        "lower case and the token, clamped.\n"
        "\n"
        "  --node-id N        number of the node in the panel\n"
        "  --node-type TYPE   vless, vmess, trojan, ...\n"
        "  --token TOKEN      the panel's token for the node (ApiKey); \"-\" reads it from\n"
        "                     standard input, so that it does not show in the list of processes\n",
    .run = run_reality,
};

/* Prints the pair and wipes it. Returns the exit status. */
static int print_pair(const struct cmd *c, uint8_t priv[X25519_LEN])
{
    uint8_t pub[X25519_LEN];
    char priv_text[KEY_TEXT], pub_text[KEY_TEXT];
    if (x25519_public(priv, pub) != ST_OK) {
        fprintf(stderr, "v2sp %s: the crypto library failed\n", c->name);
        return 1;
    }
    base64_encode(priv_text, priv, X25519_LEN, BASE64_URL | BASE64_UNPADDED);
    base64_encode(pub_text, pub, X25519_LEN, BASE64_URL | BASE64_UNPADDED);
    printf("Private key: %s\nPublic key: %s\n", priv_text, pub_text);
    crypto_wipe(priv, X25519_LEN);
    crypto_wipe(priv_text, sizeof(priv_text));
    return 0;
}

/* base64 in any of its two alphabets, with or without padding: panels and clients print all four.
 */
static bool read_key(const char *text, uint8_t key[X25519_LEN])
{
    uint8_t buf[BASE64_DECODED_MAX(64)];
    size_t n = strlen(text), len = 0;
    unsigned flags = BASE64_UNPADDED | BASE64_ANY_TAIL;
    while (n > 0 && text[n - 1] == '=')
        n--;
    if (n > 64)
        return false;
    if (memchr(text, '+', n) == NULL && memchr(text, '/', n) == NULL)
        flags |= BASE64_URL;
    if (base64_decode(buf, &len, text, n, flags) != ST_OK || len != X25519_LEN)
        return false;
    memcpy(key, buf, X25519_LEN);
    crypto_wipe(buf, sizeof(buf));
    return true;
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
        if (!read_key(given, priv))
            return cmd_misused(&cmd_x25519, "the private key must be 32 bytes in base64url, 43 "
                                            "characters");
        return print_pair(&cmd_x25519, priv);
    }
    struct rng r;
    if (rng_init(&r) != ST_OK || x25519_keypair(&r, priv, pub) != ST_OK) {
        fprintf(stderr, "v2sp x25519: the machine has no random numbers to give\n");
        return 1;
    }
    rng_fini(&r);
    return print_pair(&cmd_x25519, priv);
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
