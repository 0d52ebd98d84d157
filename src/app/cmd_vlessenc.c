/* Key pairs for VLESS encryption, in the words of Xray's command of this name. */
#include <stdio.h>

#include "app/cmd.h"
#include "app/vlessenc_keys.h"
#include "crypto/mem.h"

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

static bool print_pair(const char *title, const char *mode, const char *ticket,
                       enum vlessenc_auth auth)
{
    struct vlessenc_keys k;

    if (vlessenc_keys_new(mode, ticket, auth, &k) != ST_OK)
        return false;
    printf("Authentication: %s\n\"decryption\": \"%s\"\n\"encryption\": \"%s\"\n", title,
           k.decryption, k.encryption);
    crypto_wipe(k.decryption, sizeof(k.decryption));
    return true;
}

static int run(int argc, char **argv)
{
    const char *mode = "native", *ticket = VLESSENC_TICKET;
    const struct cmd_option options[] = {
        {"--mode", NULL, &mode, NULL}, {"--ticket", NULL, &ticket, NULL}, {NULL, NULL, NULL, NULL}};
    int words, rc = cmd_parse(&cmd_vlessenc, argc, argv, options, NULL, 0, &words);

    if (rc != CMD_GO_ON)
        return rc;
    if (!vlessenc_mode_ok(mode))
        return cmd_misused(&cmd_vlessenc, "--mode must be native, xorpub or random");
    if (!vlessenc_ticket_ok(ticket))
        return cmd_misused(&cmd_vlessenc, "--ticket must be seconds, such as 600s or 300-600s");
    printf("Use one of the two, do not mix them.\n\n");
    bool good = print_pair("X25519, not post-quantum", mode, ticket, VLESSENC_AUTH_X25519);
    printf("\n");
    if (!good || !print_pair("ML-KEM-768, post-quantum", mode, ticket, VLESSENC_AUTH_MLKEM768)) {
        fprintf(stderr, "v2sp vlessenc: the machine has no random numbers to give\n");
        return 1;
    }
    return 0;
}
