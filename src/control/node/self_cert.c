#include "control/node/self_cert.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/mem.h"
#include "tls/cert.h"

static void make_parents(const char *file)
{
    char path[1024];

    if (snprintf(path, sizeof(path), "%s", file) >= (int)sizeof(path))
        return;
    for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(path, 0700);
        *p = '/';
    }
}

/* Whole or not at all: written beside, then renamed. */
static bool write_file(const char *file, const char *text)
{
    char temp[1040];
    size_t len = strlen(text);

    make_parents(file);
    if (snprintf(temp, sizeof(temp), "%s.new", file) >= (int)sizeof(temp))
        return false;
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (ok && rename(temp, file) == 0)
        return true;
    unlink(temp);
    return false;
}

void self_cert_ensure(const char *cert_file, const char *key_file, const char *domain)
{
    struct cert_pem pem;

    if (access(cert_file, F_OK) == 0 && access(key_file, F_OK) == 0)
        return;
    if (cert_self_signed(domain, &pem) != ST_OK)
        return;
    /* The key first: a lone certificate would look like a pair whose key is still to come. */
    if (write_file(key_file, pem.key) && !write_file(cert_file, pem.chain))
        unlink(key_file);
    crypto_wipe(&pem, sizeof(pem));
}
