#include "control/views.h"

#include <stdlib.h>

#include "base/list.h"
#include "control/view_builder.h"
#include "io/mailbox.h"

/* Memory of one view; the workers see v. */
struct box {
    struct message message;
    struct view v;
    struct views *views;
    struct served_node *served;
    struct list node; /* in order of generation */
};

struct leaving {
    struct user_rt *user;
    uint64_t generation; /* may be given back when no older view of the node is left */
};

struct node_views {
    bool taken;
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
    for (size_t i = 0; i < VIEW_NODES_MAX; i++)
        free(v->nodes[i].leaving);
    free(v);
}

enum status views_take_no(struct views *v, uint32_t *no)
{
    for (uint32_t i = 0; i < VIEW_NODES_MAX; i++) {
        struct node_views *n = &v->nodes[i];
        if (n->taken || !list_empty(&n->boxes) || n->count > 0)
            continue;
        n->taken = true;
        *no = i;
        return ST_OK;
    }
    return ST_E_LIMIT;
}

void views_give_no(struct views *v, uint32_t no)
{
    v->nodes[no].taken = false;
}

enum status views_publish(struct views *v, const struct plane *plane, uint32_t no,
                          struct served_node *s, const struct user_table *t,
                          struct user_rt *const *removed, size_t n, size_t *collisions)
{
    struct node_views *nv = &v->nodes[no];
    struct box *b = calloc(1, sizeof(*b));
    struct user_index *ix = NULL;

    if (b == NULL || user_index_new(t->by_id, t->count, v->seed, &ix, collisions) != ST_OK) {
        free(b);
        return ST_E_NOMEM;
    }
    b->message.fn = on_released;
    b->views = v;
    b->served = served_node_ref(s);
    b->v.node_no = no;
    b->v.generation = ++nv->generation;
    b->v.node = &s->node;
    b->v.users = ix;
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
