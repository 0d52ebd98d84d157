"""Sums of users, {uid: (up, down)}, and those a node keeps back in its state database."""
import collections
import os
import shutil
import sqlite3
import tempfile


def add(*books):
    total = collections.defaultdict(lambda: (0, 0))
    for book in books:
        for uid, (up, down) in book.items():
            total[uid] = (total[uid][0] + up, total[uid][1] + down)
    return dict(total)


def parked(state):
    """{(ApiHost, NodeID): sums} of the batches that wait for a decision (ReportPolicy at-most-once). The node is stopped."""
    found = collections.defaultdict(dict)
    with tempfile.TemporaryDirectory() as copy:       # SQLite follows links, also those into other mount namespaces
        for name in os.listdir(state):
            if name in ("node.db", "node.db-wal"):
                shutil.copy(os.path.join(state, name), copy)
        db = sqlite3.connect(os.path.join(copy, "node.db"))
        rows = db.execute("SELECT n.key, r.uid, r.up, r.down FROM batch b JOIN batch_row r ON r.node=b.node AND r.seq=b.seq"
                          " JOIN node n ON n.id=b.node WHERE b.parked<>0")
        for key, uid, up, down in rows:
            host, node_id, _ = key.rsplit("|", 2)
            node = (host, int(node_id))
            found[node] = add(found[node], {uid: (up, down)})
        db.close()
    return found
