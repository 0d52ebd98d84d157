/* control/node/self_cert.h - a self-signed certificate that stays the same across starts. Control
 * thread. */
#ifndef CONTROL_NODE_SELF_CERT_H
#define CONTROL_NODE_SELF_CERT_H

/* Writes a fresh pair for @domain unless both files are there already; missing directories are made
 * (0700), the key is 0600. What cannot be written is left: the caller looks whether the files are
 * there. */
void self_cert_ensure(const char *cert_file, const char *key_file, const char *domain);

#endif
