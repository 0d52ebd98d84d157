/* control/device_guests.h - devices that sit in another process: after an upgrade the old one still
 * has sessions, and its devices keep their places in the sets of the new one. Control thread;
 * inside control only.
 *
 * The old process tells a list of all its devices when it stops accepting, and again every few
 * seconds; the new one holds each as a session would, until a list comes without it or the old
 * process ends. One that is quiet there gives its place to a new one here, as any other. */
#ifndef CONTROL_DEVICE_GUESTS_H
#define CONTROL_DEVICE_GUESTS_H

#include <stddef.h>

#include "control/controller_upgrade.h"

struct device_book;
struct device_guests;

/* NULL: no memory. @b is borrowed. */
struct device_guests *device_guests_new(struct device_book *b);
/* Before the book. NULL is fine. */
void device_guests_free(struct device_guests *g);
/* More of a list: users without a limit here, and what cannot be right, are passed over. */
void device_guests_add(struct device_guests *g, const struct controller_device *list, size_t count);
/* The list is whole: who is not on it has gone. Those that have no place here any more, with their
 * number in *@refused, are borrowed until the next call. */
const struct controller_device *device_guests_end(struct device_guests *g, size_t *refused);

/* All devices in @b that count now; the caller frees them. Without memory some are left out.
 * Returns how many. */
size_t device_guests_list(const struct device_book *b, struct controller_device **out);

#endif
