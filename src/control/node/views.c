#include "control/node/views.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "control/node/view_builder.h"
#include "io/mailbox.h"

/* Memory of one view; the workers see v. */
struct box {
    struct message message;
    struct view v;
    struct views *views;
    struct served_node *served;
    struct shared *shared; /* NULL: the protocol has none */
    struct list node;      /* in order of generation */
};

/* What the workers change together for a node. Views hold one reference each, the node one. */
struct shared {
    unsigned refs;
    const struct proto *proto;
    _Alignas(64) unsigned char bytes[]; /* its locks and counters are written by all workers */
};

struct leaving {
    struct user_rt *user;
    uint64_t generation; /* may be given back when no older view of the node is left */
};

struct node_views {
    bool taken;
    struct share_total *total; /* made with the first node of this number, kept for the next */
    struct shared *shared;
    uint64_t generation; /* of the newest view */
    struct list boxes;
    struct leaving *leaving; /* ascending generations */
    size_t count, room;
};

struct views {
    struct mailbox *mailbox;
    struct user_slab *slab;
    uint64_t seed;
    size_t live;
    struct node_views nodes[VIEW_NODES_MAX];
};

static void shared_unref(struct shared *sh)
{
    if (sh == NULL || --sh->refs > 0)
        return;
    if (sh->proto->shared_fini != NULL)
        sh->proto->shared_fini(sh->bytes);
    free(sh);
}

/* Leaves in @n the state that a view with @p is to have; it stays what it was as long as the
 * protocol does, so that no change of a node forgets what was replayed. */
static enum status shared_make(struct node_views *n, const struct proto *p, uint64_t seed)
{
    struct shared *sh = NULL;
    enum status st = ST_OK;

    if (n->shared != NULL && n->shared->proto == p)
        return ST_OK;
    if (p->shared_size > 0) {
        size_t size = (sizeof(*sh) + p->shared_size + 63) / 64 * 64;
        sh = aligned_alloc(64, size);
        if (sh == NULL)
            return ST_E_NOMEM;
        memset(sh, 0, size);
        sh->refs = 1;
        sh->proto = p;
        if (p->shared_init != NULL && (st = p->shared_init(sh->bytes, seed)) != ST_OK) {
            free(sh);
            return st;
        }
    }
    shared_unref(n->shared);
    n->shared = sh;
    return ST_OK;
}

static void give_back(struct views *v, struct node_views *n)
{
    uint64_t oldest = list_empty(&n->boxes)
                          ? UINT64_MAX
                          : LIST_ENTRY(n->boxes.next, struct box, node)->v.generation;
    size_t i = 0;

    while (i < n->count && n->leaving[i].generation <= oldest)
        user_slab_give(v->slab, n->leaving[i++].user);
    for (size_t k = i; k < n->count; k++)
        n->leaving[k - i] = n->leaving[k];
    n->count -= i;
    if (n->count == 0) {
        free(n->leaving);
        n->leaving = NULL;
        n->room = 0;
    }
}

static void on_released(struct message *m, void *receiver)
{
    struct box *b = (struct box *)m;
    struct views *v = receiver;
    struct node_views *n = &v->nodes[b->v.node_no];

    list_del(&b->node);
    v->live--;
    user_index_free(b->v.users);
    shared_unref(b->shared);
    served_node_unref(b->served);
    free(b);
    give_back(v, n);
}

/* Any thread. */
static void release(struct view *view)
{
    struct box *b = view->owner;
    mailbox_send(b->views->mailbox, &b->message);
}

struct views *views_new(struct loop *l, struct user_slab *slab, uint64_t seed)
{
    struct views *v = calloc(1, sizeof(*v));

    if (v == NULL)
        return NULL;
    v->slab = slab;
    v->seed = seed;
    for (size_t i = 0; i < VIEW_NODES_MAX; i++)
        list_init(&v->nodes[i].boxes);
    v->mailbox = mailbox_new(l, v);
    if (v->mailbox == NULL) {
        free(v);
        return NULL;
    }
    return v;
}

void views_free(struct views *v)
{
    if (v == NULL)
        return;
    mailbox_free(v->mailbox);
    for (size_t i = 0; i < VIEW_NODES_MAX; i++) {
        free(v->nodes[i].leaving);
        free(v->nodes[i].total);
        shared_unref(v->nodes[i].shared);
    }
    free(v);
}

static struct share_total *total_new(void)
{
    struct share_total *t = aligned_alloc(_Alignof(struct share_total), sizeof(*t));

    if (t != NULL)
        memset(t, 0, sizeof(*t));
    return t;
}

/* The view that is published limits all users of the node together to @kbps. */
static void set_total(struct share_total *total, uint32_t kbps, const struct user_table *t)
{
    if (atomic_load_explicit(&total->kbps, memory_order_relaxed) == kbps)
        return;
    share_total_set(total, kbps);
    for (size_t i = 0; i < t->count; i++) {
        share_reset(&t->by_id[i]->up_share);
        share_reset(&t->by_id[i]->down_share);
    }
}

enum status views_take_no(struct views *v, uint32_t *no)
{
    for (uint32_t i = 0; i < VIEW_NODES_MAX; i++) {
        struct node_views *n = &v->nodes[i];
        if (n->taken || !list_empty(&n->boxes) || n->count > 0)
            continue;
        if (n->total == NULL && (n->total = total_new()) == NULL)
            return ST_E_NOMEM;
        share_total_join(n->total, NULL, NULL, false);
        n->taken = true;
        *no = i;
        return ST_OK;
    }
    return ST_E_LIMIT;
}

struct share_total *views_total(struct views *v, uint32_t no)
{
    return v->nodes[no].total;
}

void views_give_no(struct views *v, uint32_t no)
{
    v->nodes[no].taken = false;
    shared_unref(v->nodes[no].shared);
    v->nodes[no].shared = NULL;
}

/* The index of the users, with what the newest one has of it already. */
static enum status build_index(struct views *v, const struct node_views *n,
                               const struct served_node *s, const struct user_table *t,
                               const struct views_skip *skip, struct user_index **out)
{
    const struct box *last =
        list_empty(&n->boxes) ? NULL : LIST_ENTRY(n->boxes.prev, struct box, node);
    const struct user_index_build b = {
        .conf = s->proto_conf,
        .users = t->by_id,
        .count = t->count,
        .seed = v->seed,
        .before = last != NULL && last->served == s ? last->v.users : NULL,
        .skipped = skip->fn,
        .arg = skip->arg,
    };
    return s->proto->users->build(&b, out);
}

enum status views_publish(struct views *v, const struct plane *plane, uint32_t no,
                          struct served_node *s, const struct user_table *t,
                          struct user_rt *const *removed, size_t n, const struct views_skip *skip)
{
    struct node_views *nv = &v->nodes[no];
    struct box *b = calloc(1, sizeof(*b));
    enum status st = b == NULL ? ST_E_NOMEM : shared_make(nv, s->proto, v->seed);

    if (st == ST_OK)
        st = build_index(v, nv, s, t, skip, &b->v.users);
    if (st != ST_OK) {
        free(b);
        return st;
    }
    b->message.fn = on_released;
    b->views = v;
    b->served = served_node_ref(s);
    b->shared = nv->shared;
    if (b->shared != NULL) {
        b->shared->refs++;
        b->v.shared = b->shared->bytes;
    }
    b->v.node_no = no;
    b->v.generation = ++nv->generation;
    b->v.node = &s->node;
    b->v.total = nv->total;
    set_total(nv->total, s->limits.total_kbps, t);
    b->v.release = release;
    b->v.owner = b;
    atomic_store_explicit(&b->v.refs, 1, memory_order_relaxed);
    list_add_tail(&nv->boxes, &b->node);
    v->live++;
    plane->publish(plane->self, &b->v, removed, n);
    return ST_OK;
}

void views_user_done(struct views *v, struct user_rt *u, bool node_ended)
{
    struct node_views *n = &v->nodes[u->node];
    uint64_t generation = n->generation + (node_ended ? 1 : 0);

    if (n->count == n->room) {
        size_t room = n->room < 64 ? 64 : n->room * 2;
        struct leaving *p = realloc(n->leaving, room * sizeof(*p));
        if (p == NULL)
            return; /* the object is lost until the end of the process, no more */
        n->leaving = p;
        n->room = room;
    }
    n->leaving[n->count++] = (struct leaving){.user = u, .generation = generation};
    /* Ended nodes have the highest numbers, and later ones come after: the order holds. */
    give_back(v, n);
}

size_t views_live(const struct views *v)
{
    return v->live;
}
