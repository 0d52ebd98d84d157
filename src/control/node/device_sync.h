/* control/node/device_sync.h - the users of one panel and the store that shares their devices with
 * other processes (DeviceStore). Control thread; inside control only.
 *
 * No session waits for it: workers decide by what is known, user_devices.elsewhere. The store is
 * asked (device_script.h) as soon as a user has a new device, or one of his was refused for those
 * elsewhere, and every Expiry / 3 or 20 s as long as he has devices here; a device that it refuses
 * loses its place. While it does not work the panel's alivelist counts, if there is one; also for a
 * user whose key holds something that is none of ours, until that is gone. */
#ifndef CONTROL_NODE_DEVICE_SYNC_H
#define CONTROL_NODE_DEVICE_SYNC_H

#include <stdbool.h>

#include <stddef.h>

struct config_device_store;
struct device_panel;
struct device_sync;
struct device_user;
struct redis_link;

/* @process: its name in the store, in hexadecimal, borrowed. NULL: no memory. */
struct device_sync *device_sync_new(struct device_panel *p, const char *process,
                                    const struct config_device_store *s);
void device_sync_free(struct device_sync *s); /* NULL is fine */
bool device_sync_uses(const struct device_sync *s, const struct config_device_store *store);
/* The store answers: what it says counts. */
bool device_sync_works(const struct device_sync *s);
/* Its connection, for what there is to say of it; borrowed. */
const struct redis_link *device_sync_link(const struct device_sync *s);
/* Users whose keys hold something else. */
size_t device_sync_set_aside(const struct device_sync *s);
/* There is news of @u. */
void device_sync_changed(struct device_sync *s, struct device_user *u);
/* @u is about to be freed. */
void device_sync_gone(struct device_sync *s, struct device_user *u);

#endif
