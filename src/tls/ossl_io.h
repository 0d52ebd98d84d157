/* tls/ossl_io.h - the BIO between the library and our queues. Internal to tls/ossl*.c. */
#ifndef TLS_OSSL_IO_H
#define TLS_OSSL_IO_H

#include "tls/ossl.h"

/* The BIO type whose data is a struct ossl; NULL without memory. To be freed after the last BIO
 * of it. */
struct bio_method_st *ossl_bio_method(void);

/* Opens the window to the next whole record of o->in.
 * ST_OK; ST_MORE the record is not complete. A length no TLS record may have opens the header
 * alone, for the library to refuse. */
NODISCARD enum status ossl_next_record(struct ossl *o);

#endif
