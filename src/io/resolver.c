#include "io/resolver.h"

#include <ares.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/ascii.h"
#include "io/sockaddr.h"

#define BUCKETS       4096u /* power of two */
#define ENTRY_ADDRS   (RESOLVE_ADDRS_MAX / 2)
#define TTL_MIN_S     5u
#define TTL_MAX_S     3600u
#define TTL_NONE_MS   10000u /* no such name */
#define TTL_FAILED_MS 2000u  /* nobody answered */
#define TICK_MS       200u   /* between looks at retransmissions, while something is under way */
#define TRY_MS        1500   /* first timeout of one server; c-ares doubles it every round */
#define TRIES         2
#define CONF_PATH     "/etc/resolv.conf"
#define CONF_CHECK_MS 5000u
#define NAME_MAX_LEN  255u

/* What is known, or being asked, about one name in one family. */
struct resolver_entry {
    struct resolver_entry *chain; /* next in the bucket */
    struct list lru;              /* in resolver.lru, latest first */
    struct list done;             /* in resolver.done: answered, waiters not told yet */
    struct list waiters;          /* resolve_wait.node */
    struct resolver *r;
    uint32_t refs; /* requests that look at it, and the query: keeps it from being evicted */
    bool asking;
    uint8_t family; /* enum addr_family */
    uint8_t count;
    enum status status; /* of the last answer */
    uint64_t until_ms;  /* when the answer expires */
    struct addr *addrs; /* count of them */
    uint64_t hash;
    char name[];
};

/* One of c-ares' sockets. */
struct socket_watch {
    struct watch watch;
    struct list node;
    struct resolver *r;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    bool fixed; /* servers were given: resolv.conf does not matter */
    bool closing;
    uint32_t entries, flight;
    uint64_t seed[2];
    struct timer tick;
    struct task deliver;
    struct list lru, done, sockets;
    uint64_t conf_checked_ms;
    struct timespec conf_mtime;
    struct resolver_entry *buckets[BUCKETS];
};

/* ---- names ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Keyed by a secret, because clients choose the names. */
static uint64_t hash_name(const struct resolver *r, const char *name, size_t len, uint8_t family)
{
    uint64_t h = r->seed[0] ^ family;

    for (size_t at = 0; at < len; at += 8) {
        uint64_t part = 0;
        memcpy(&part, name + at, len - at < 8 ? len - at : 8);
        h = mix(h ^ part, r->seed[1]) + len;
    }
    return h;
}

static bool is_localhost(const char *name, size_t len)
{
    static const char local[] = "localhost";
    const size_t n = sizeof(local) - 1;

    if (len > 0 && name[len - 1] == '.')
        len--;
    return len >= n && memcmp(name + len - n, local, n) == 0 &&
           (len == n || name[len - n - 1] == '.');
}

static bool ends_in_number(const char *name, size_t len)
{
    size_t digits = 0;

    if (len > 0 && name[len - 1] == '.')
        len--;
    while (digits < len && ascii_is_digit(name[len - 1 - digits]))
        digits++;
    return digits > 0 && (digits == len || name[len - 1 - digits] == '.');
}

/* ---- cache ----------------------------------------------------------------------------------- */

static struct resolver_entry *entry_find(struct resolver *r, const char *name, uint64_t hash,
                                         uint8_t family)
{
    struct resolver_entry *e = r->buckets[hash % BUCKETS];

    while (e != NULL && !(e->hash == hash && e->family == family && strcmp(e->name, name) == 0))
        e = e->chain;
    return e;
}

static void entry_free(struct resolver_entry *e)
{
    struct resolver *r = e->r;
    struct resolver_entry **at = &r->buckets[e->hash % BUCKETS];

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    list_del(&e->lru);
    list_del(&e->done);
    r->entries--;
    free(e->addrs);
    free(e);
}

/* Makes room for one more; entries somebody waits for stay. */
static bool evict_one(struct resolver *r)
{
    for (struct list *n = r->lru.prev; n != &r->lru; n = n->prev) {
        struct resolver_entry *e = LIST_ENTRY(n, struct resolver_entry, lru);
        if (e->refs == 0) {
            entry_free(e);
            return true;
        }
    }
    return false;
}

static struct resolver_entry *entry_new(struct resolver *r, const char *name, size_t len,
                                        uint64_t hash, uint8_t family)
{
    struct resolver_entry *e;

    if (r->entries >= RESOLVER_NAMES_MAX && !evict_one(r))
        return NULL;
    e = calloc(1, sizeof(*e) + len + 1);
    if (e == NULL)
        return NULL;
    e->r = r;
    e->hash = hash;
    e->family = family;
    memcpy(e->name, name, len + 1);
    list_init(&e->done);
    list_init(&e->waiters);
    e->chain = r->buckets[hash % BUCKETS];
    r->buckets[hash % BUCKETS] = e;
    list_init(&e->lru);
    r->entries++;
    return e;
}

static void entry_use(struct resolver_entry *e)
{
    list_del(&e->lru);
    e->lru.next = e->r->lru.next;
    e->lru.prev = &e->r->lru;
    e->r->lru.next->prev = &e->lru;
    e->r->lru.next = &e->lru;
}

/* ---- c-ares ---------------------------------------------------------------------------------- */

static enum status status_of(int ares)
{
    switch (ares) {
    case ARES_SUCCESS:
        return ST_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return ST_E_NOTFOUND;
    case ARES_ETIMEOUT:
        return ST_E_TIMEOUT;
    case ARES_ENOMEM:
        return ST_E_NOMEM;
    default:
        return ST_E_IO;
    }
}

/* Replaces what the entry knows by @res. */
static enum status take_answer(struct resolver_entry *e, const struct ares_addrinfo *res,
                               uint32_t *ttl)
{
    struct addr found[ENTRY_ADDRS];
    uint8_t n = 0;

    *ttl = TTL_MAX_S;
    for (const struct ares_addrinfo_node *a = res->nodes; a != NULL && n < ENTRY_ADDRS;
         a = a->ai_next) {
        sockaddr_to_addr(&found[n], a->ai_addr, a->ai_addrlen);
        if (found[n].family == ADDR_NONE)
            continue;
        found[n].port = 0;
        n++;
        if (a->ai_ttl >= 0 && (uint32_t)a->ai_ttl < *ttl)
            *ttl = (uint32_t)a->ai_ttl;
    }
    if (n == 0)
        return ST_E_NOTFOUND;
    e->addrs = malloc(n * sizeof(struct addr));
    if (e->addrs == NULL)
        return ST_E_NOMEM;
    memcpy(e->addrs, found, n * sizeof(struct addr));
    e->count = n;
    return ST_OK;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *res)
{
    struct resolver_entry *e = arg;
    struct resolver *r = e->r;
    uint32_t ttl = 0;

    (void)timeouts;
    r->flight--;
    e->asking = false;
    e->refs--;
    if (r->closing) {
        ares_freeaddrinfo(res);
        return;
    }
    free(e->addrs);
    e->addrs = NULL;
    e->count = 0;
    e->status = status_of(status);
    if (e->status == ST_OK)
        e->status = take_answer(e, res, &ttl);
    if (res != NULL)
        ares_freeaddrinfo(res);
    uint64_t keep = TTL_FAILED_MS;
    if (e->status == ST_OK)
        keep = 1000u * (uint64_t)(ttl < TTL_MIN_S ? TTL_MIN_S : ttl);
    else if (e->status == ST_E_NOTFOUND)
        keep = TTL_NONE_MS;
    e->until_ms = loop_now_ms(r->loop) + keep;
    /* Told from a task: not while c-ares is in the middle of its tables, or of the call that
     * asked. */
    list_del(&e->done);
    list_add_tail(&r->done, &e->done);
    loop_task_add(r->loop, &r->deliver);
}

static void on_socket(struct watch *w, uint32_t events)
{
    struct resolver *r = LIST_ENTRY(w, struct socket_watch, watch)->r;
    ares_socket_t fd = w->fd;

    /* c-ares may close the socket, and free the watch, in here. */
    ares_process_fd(r->channel, events & (LOOP_IN | LOOP_HUP) ? fd : ARES_SOCKET_BAD,
                    events & LOOP_OUT ? fd : ARES_SOCKET_BAD);
}

static void socket_gone(struct socket_watch *s)
{
    loop_watch_del(s->r->loop, &s->watch);
    list_del(&s->node);
    free(s);
}

/* c-ares tells which of its sockets wait for what; neither: it is about to be closed. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    uint32_t events = (readable ? LOOP_IN : 0u) | (writable ? LOOP_OUT : 0u);
    struct socket_watch *s = NULL;

    LIST_FOREACH(n, tmp, &r->sockets) {
        struct socket_watch *one = LIST_ENTRY(n, struct socket_watch, node);
        if (one->watch.fd == fd)
            s = one;
    }
    if (events == 0) {
        if (s != NULL)
            socket_gone(s);
        return;
    }
    if (s != NULL) {
        if (loop_watch_mod(r->loop, &s->watch, events) != ST_OK)
            socket_gone(s);
        return;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return; /* unwatched: its queries end by timeout */
    s->r = r;
    list_init(&s->node);
    if (loop_watch_add(r->loop, &s->watch, fd, events, on_socket) != ST_OK) {
        free(s);
        return;
    }
    list_add_tail(&r->sockets, &s->node);
}

static void on_tick(struct timer *t)
{
    struct resolver *r = LIST_ENTRY(t, struct resolver, tick);

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (r->flight > 0)
        loop_timer_in(r->loop, &r->tick, TICK_MS);
}

/* Names are looked up as they are: the search list of resolv.conf is for people, not for clients'
 * targets. The library's global initialisation is not called: outside Windows it does nothing. */
static enum status open_channel(struct resolver *r, const char *servers, ares_channel *out)
{
    char lookups[] = "fb"; /* files, then DNS */
    struct ares_options opts = {
        .flags = ARES_FLAG_NOSEARCH,
        .timeout = TRY_MS,
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
    };
    int rc = ares_init_options(out, &opts,
                               ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                   ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);

    if (rc != ARES_SUCCESS)
        return rc == ARES_ENOMEM ? ST_E_NOMEM : ST_E_CONFIG;
    if (servers != NULL && (rc = ares_set_servers_ports_csv(*out, servers)) != ARES_SUCCESS) {
        ares_destroy(*out);
        return rc == ARES_ENOMEM ? ST_E_NOMEM : ST_E_CONFIG;
    }
    return ST_OK;
}

/* A changed resolv.conf takes effect between two lookups, so that none under way is cut off. */
static void check_conf(struct resolver *r)
{
    uint64_t now = loop_now_ms(r->loop);
    struct stat sb;
    ares_channel fresh;

    if (r->fixed || r->flight > 0 || now - r->conf_checked_ms < CONF_CHECK_MS)
        return;
    r->conf_checked_ms = now;
    if (stat(CONF_PATH, &sb) != 0 ||
        (sb.st_mtim.tv_sec == r->conf_mtime.tv_sec && sb.st_mtim.tv_nsec == r->conf_mtime.tv_nsec))
        return;
    r->conf_mtime = sb.st_mtim;
    if (open_channel(r, NULL, &fresh) != ST_OK)
        return; /* half-written perhaps: the old servers go on until the next change */
    ares_destroy(r->channel);
    r->channel = fresh;
}

static enum status entry_ask(struct resolver_entry *e)
{
    struct resolver *r = e->r;
    const struct ares_addrinfo_hints hints = {
        /* Unsorted: sorting opens a socket for every address, and the dialer orders them anyway. */
        .ai_flags = ARES_AI_NOSORT,
        .ai_family = e->family == ADDR_IP4 ? AF_INET : AF_INET6,
        .ai_socktype = SOCK_STREAM,
    };

    if (r->flight >= RESOLVER_FLIGHT_MAX)
        return ST_E_LIMIT;
    check_conf(r);
    r->flight++;
    e->asking = true;
    e->refs++;
    ares_getaddrinfo(r->channel, e->name, NULL, &hints, on_answer, e);
    if (e->asking && !timer_armed(&r->tick))
        loop_timer_in(r->loop, &r->tick, TICK_MS);
    return ST_OK;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void gather(const struct resolve_wait *w, struct resolve_answer *a)
{
    const struct resolver_entry *e = w->entry;

    if (e == NULL)
        return;
    if (e->asking) {
        a->status = ST_E_TIMEOUT;
        return;
    }
    a->name = e->name;
    for (size_t i = 0; i < e->count && a->count < RESOLVE_ADDRS_MAX; i++)
        a->addrs[a->count++] = e->addrs[i];
    /* "No such name" is the weakest thing to say: the other family may have failed for a better
     * reason. */
    if (e->status != ST_OK && a->status == ST_E_NOTFOUND)
        a->status = e->status;
}

static void collect(const struct resolve_req *req, struct resolve_answer *a)
{
    a->status = ST_E_NOTFOUND;
    a->name = NULL;
    a->count = 0;
    gather(&req->wait[0], a);
    gather(&req->wait[1], a);
    if (a->count > 0)
        a->status = ST_OK;
}

static void detach(struct resolve_req *req)
{
    for (unsigned i = 0; i < 2; i++) {
        struct resolve_wait *w = &req->wait[i];
        if (w->entry == NULL)
            continue;
        list_del(&w->node);
        w->entry->refs--;
        w->entry = NULL;
    }
    loop_timer_del(req->r->loop, &req->timer);
    req->r = NULL;
}

static void finish(struct resolve_req *req)
{
    struct resolve_answer a;

    collect(req, &a);
    detach(req);
    req->fn(req, &a);
}

static void on_timer(struct timer *t)
{
    finish(LIST_ENTRY(t, struct resolve_req, timer));
}

/* Where a request stands: whether some family is still being asked, and whether some has
 * addresses. */
static void progress(const struct resolve_req *req, bool *open, bool *usable)
{
    *open = *usable = false;
    for (unsigned i = 0; i < 2; i++) {
        const struct resolver_entry *e = req->wait[i].entry;
        if (e != NULL && e->asking)
            *open = true;
        else if (e != NULL && e->count > 0)
            *usable = true;
    }
}

/* One family has addresses: the other gets RESOLVER_DELAY_MS more (RFC 8305 section 3). */
static void start_delay(struct resolve_req *req)
{
    uint64_t at = loop_now_ms(req->r->loop) + RESOLVER_DELAY_MS;

    if (req->delayed)
        return;
    req->delayed = true;
    loop_timer_at(req->r->loop, &req->timer, at < req->deadline_ms ? at : req->deadline_ms);
}

static void tell_waiters(struct resolver_entry *e)
{
    struct list waiting;

    /* Moved aside: an answer may ask for this very name again. */
    list_init(&waiting);
    while (!list_empty(&e->waiters)) {
        struct list *n = e->waiters.next;
        list_del(n);
        list_add_tail(&waiting, n);
    }
    e->refs++;
    while (!list_empty(&waiting)) {
        struct resolve_wait *w = LIST_ENTRY(waiting.next, struct resolve_wait, node);
        struct resolve_req *req = w->req;
        bool open, usable;
        list_del(&w->node);
        progress(req, &open, &usable);
        if (!open)
            finish(req);
        else if (usable)
            start_delay(req);
    }
    e->refs--;
}

static void on_deliver(struct task *t)
{
    struct resolver *r = LIST_ENTRY(t, struct resolver, deliver);

    while (!list_empty(&r->done)) {
        struct resolver_entry *e = LIST_ENTRY(r->done.next, struct resolver_entry, done);
        list_del(&e->done);
        tell_waiters(e);
    }
}

/* Attaches the request to what is known about @name in one family, asking if need be. */
static enum status attach(struct resolve_req *req, unsigned which, const char *name, size_t len)
{
    struct resolver *r = req->r;
    struct resolve_wait *w = &req->wait[which];
    uint8_t family = which == 0 ? ADDR_IP6 : ADDR_IP4;
    uint64_t hash = hash_name(r, name, len, family);
    struct resolver_entry *e = entry_find(r, name, hash, family);
    enum status st = ST_OK;

    if (e == NULL)
        e = entry_new(r, name, len, hash, family);
    if (e == NULL)
        return ST_E_NOMEM;
    entry_use(e);
    w->entry = e;
    w->req = req;
    list_init(&w->node);
    e->refs++;
    if (!e->asking && e->until_ms <= loop_now_ms(r->loop))
        st = entry_ask(e);
    if (st != ST_OK) {
        e->refs--;
        w->entry = NULL;
        return st;
    }
    if (e->asking)
        list_add_tail(&e->waiters, &w->node);
    return ST_OK;
}

static void answer_localhost(const char *name, enum resolve_want want, struct resolve_answer *now)
{
    static const struct addr loopback[2] = {
        {.family = ADDR_IP6, .ip = {[15] = 1}},
        {.family = ADDR_IP4, .ip = {127, 0, 0, 1}},
    };

    now->status = ST_OK;
    now->name = name;
    now->count = 0;
    if (want != RESOLVE_IP4)
        now->addrs[now->count++] = loopback[0];
    if (want != RESOLVE_IP6)
        now->addrs[now->count++] = loopback[1];
}

static enum status refuse(struct resolve_answer *now, enum status st)
{
    now->status = st;
    now->name = NULL;
    now->count = 0;
    return st;
}

enum status resolver_get(struct resolver *r, const char *name, enum resolve_want want,
                         struct resolve_req *req,
                         void (*fn)(struct resolve_req *, const struct resolve_answer *),
                         struct resolve_answer *now)
{
    char lower[NAME_MAX_LEN + 1];
    size_t len = strlen(name);
    enum status st = ST_OK;
    bool open, usable;

    if (len == 0 || len > NAME_MAX_LEN)
        return refuse(now, ST_E_NOTFOUND);
    for (size_t i = 0; i <= len; i++)
        lower[i] = ascii_lower(name[i]);
    if (is_localhost(lower, len)) {
        answer_localhost(name, want, now);
        return ST_OK;
    }
    struct addr literal;
    if (ends_in_number(lower, len) && addr_parse_ip(&literal, lower, len) != ST_OK)
        return refuse(now, ST_E_NOTFOUND);
    memset(req, 0, sizeof(*req));
    req->r = r;
    req->fn = fn;
    timer_init(&req->timer, on_timer);
    for (unsigned which = 0; which < 2; which++) {
        if (want == (which == 0 ? RESOLVE_IP4 : RESOLVE_IP6))
            continue;
        enum status one = attach(req, which, lower, len);
        if (one != ST_OK)
            st = one;
    }
    progress(req, &open, &usable);
    if (open) {
        req->deadline_ms = loop_now_ms(r->loop) + RESOLVER_DEADLINE_MS;
        loop_timer_at(r->loop, &req->timer, req->deadline_ms);
        if (usable)
            start_delay(req);
        return ST_MORE;
    }
    collect(req, now);
    if (now->count == 0 && st != ST_OK)
        now->status = st;
    detach(req);
    return now->status;
}

void resolve_cancel(struct resolve_req *req)
{
    if (req->r != NULL)
        detach(req);
}

/* ---- life ------------------------------------------------------------------------------------ */

enum status resolver_new(struct loop *l, const char *servers, struct resolver **out)
{
    struct resolver *r = calloc(1, sizeof(*r));
    struct stat sb;
    enum status st;

    *out = NULL;
    if (r == NULL)
        return ST_E_NOMEM;
    r->loop = l;
    r->fixed = servers != NULL;
    list_init(&r->lru);
    list_init(&r->done);
    list_init(&r->sockets);
    timer_init(&r->tick, on_tick);
    task_init(&r->deliver, on_deliver);
    if (getrandom(r->seed, sizeof(r->seed), 0) != (ssize_t)sizeof(r->seed))
        r->seed[0] ^= loop_now_us(l);
    r->seed[1] |= 1;
    if (stat(CONF_PATH, &sb) == 0)
        r->conf_mtime = sb.st_mtim;
    r->conf_checked_ms = loop_now_ms(l);
    st = open_channel(r, servers, &r->channel);
    if (st != ST_OK) {
        free(r);
        return st;
    }
    *out = r;
    return ST_OK;
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    r->closing = true;
    ares_destroy(r->channel);
    LIST_FOREACH(n, tmp, &r->lru) {
        struct resolver_entry *e = LIST_ENTRY(n, struct resolver_entry, lru);
        while (!list_empty(&e->waiters))
            resolve_cancel(LIST_ENTRY(e->waiters.next, struct resolve_wait, node)->req);
    }
    while (!list_empty(&r->lru))
        entry_free(LIST_ENTRY(r->lru.next, struct resolver_entry, lru));
    LIST_FOREACH(n, tmp, &r->sockets) {
        socket_gone(LIST_ENTRY(n, struct socket_watch, node));
    }
    loop_timer_del(r->loop, &r->tick);
    loop_task_del(r->loop, &r->deliver);
    free(r);
}
