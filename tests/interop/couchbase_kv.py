#!/usr/bin/env python3
"""KV work with the public Couchbase client library for Python, against a cluster or through the proxy before it.

It writes documents whose keys fall on vbuckets of all nodes, reads every one back and compares it; then it does with some
of them what the library offers of KV: insert, replace with and without CAS, remove, exists, counters, a durable write, a
document of another collection; and what must be refused has to be refused with the right error.

Prints one JSON object. Exits 0 where all was as expected, 1 where something was not, 2 where it could not get so far.

    couchbase_kv.py couchbase://HOST:PORT [--ca FILE] [--documents N] [--collection SCOPE.COLLECTION]
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import sys

from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.durability import Durability, ServerDurability
from couchbase.exceptions import CasMismatchException, CouchbaseException, DocumentExistsException, DocumentNotFoundException
from couchbase.options import (
    ClusterOptions, ClusterTimeoutOptions, DecrementOptions, DeltaValue, IncrementOptions, ReplaceOptions, SignedInt64, UpsertOptions,
)  # fmt: skip

PATIENCE = datetime.timedelta(seconds=10)


class Work:
    """What was asked for, and what came of it."""

    def __init__(self):
        self.operations = 0
        self.wrong = []

    def expect(self, what, expected, call):
        """The call gives what is expected, or raises it."""
        self.operations += 1
        try:
            found = call()
        except CouchbaseException as error:
            found = type(error)
        if found != expected:
            self.wrong.append(f"{what}: expected {expected}, found {found}")


def document(number):
    return {"number": number, "text": "ä" * (number % 50)}


def fill(collection, count):
    """Writes documents and reads them back; gives how many came as they were written, and what did not."""
    keys = [f"interop-{number}" for number in range(count)]
    written = collection.upsert_multi({key: document(number) for number, key in enumerate(keys)})
    wrong = [f"upsert of {key}: {type(error).__name__}" for key, error in (written.exceptions or {}).items()]
    read = collection.get_multi(keys)
    wrong += [f"get of {key}: {type(error).__name__}" for key, error in (read.exceptions or {}).items()]
    came = 0
    for number, key in enumerate(keys):
        result = read.results.get(key)
        if result is None:
            continue
        if result.content_as[dict] == document(number):
            came += 1
        else:
            wrong.append(f"get of {key}: another document")
    partitions = {result.mutation_token().partition_id for result in written.results.values() if result.mutation_token()}
    return came, len(partitions), wrong


def commands(work, collection, prefix):
    key = f"{prefix}-one"
    cas = collection.upsert(key, {"a": 1}).cas
    work.expect("exists", True, lambda: collection.exists(key).exists)
    work.expect("insert of what is there", DocumentExistsException, lambda: collection.insert(key, {}))
    work.expect("replace with an old CAS", CasMismatchException, lambda: collection.replace(key, {}, ReplaceOptions(cas=cas + 1)))
    work.expect("replace with the CAS", None, lambda: collection.replace(key, {"a": 2}, ReplaceOptions(cas=cas)) and None)
    work.expect("get", {"a": 2}, lambda: collection.get(key).content_as[dict])
    work.expect("remove", None, lambda: collection.remove(key) and None)
    work.expect("get of what is gone", DocumentNotFoundException, lambda: collection.get(key))
    work.expect("remove of what is gone", DocumentNotFoundException, lambda: collection.remove(key))
    work.expect("exists of what is gone", False, lambda: collection.exists(key).exists)
    work.expect("replace of what is gone", DocumentNotFoundException, lambda: collection.replace(key, {}))
    work.expect("insert", None, lambda: collection.insert(key, [1, 2]) and None)
    work.expect("get of what was inserted", [1, 2], lambda: collection.get(key).content_as[list])
    counter = f"{prefix}-counter"
    up = IncrementOptions(initial=SignedInt64(40), delta=DeltaValue(2))
    work.expect("a new counter", 40, lambda: collection.binary().increment(counter, up).content)
    work.expect("increment", 42, lambda: collection.binary().increment(counter, up).content)
    down = DecrementOptions(delta=DeltaValue(50))
    work.expect("decrement", 0, lambda: collection.binary().decrement(counter, down).content)
    for level in (Durability.MAJORITY, Durability.MAJORITY_AND_PERSIST_TO_ACTIVE, Durability.PERSIST_TO_MAJORITY):
        options = UpsertOptions(durability=ServerDurability(level))
        work.expect(f"durable upsert, {level.name}", None, lambda: collection.upsert(key, level.name, options) and None)
        work.expect(f"get after {level.name}", level.name, lambda: collection.get(key).content_as[str])


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("connect")
    parser.add_argument("--ca", help="the certificate of the CA to trust (couchbases://)")
    parser.add_argument("--bucket", default="default")
    parser.add_argument("--user", default="Administrator")
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--collection", help="SCOPE.COLLECTION to work in too")
    options = parser.parse_args(argv)
    login = {"cert_path": options.ca} if options.ca else {}
    login = PasswordAuthenticator(options.user, os.environ.get("DCPROXY_PASSWORD", "password"), **login)
    timeouts = ClusterTimeoutOptions(kv_timeout=PATIENCE, kv_durable_timeout=PATIENCE, connect_timeout=PATIENCE, bootstrap_timeout=PATIENCE)
    work = Work()
    try:
        cluster = Cluster.connect(options.connect, ClusterOptions(login, timeout_options=timeouts))
        bucket = cluster.bucket(options.bucket)
        commands(work, bucket.default_collection(), "interop")
        if options.collection:
            scope, name = options.collection.split(".")
            commands(work, bucket.scope(scope).collection(name), "interop")
        came, vbuckets, wrong = fill(bucket.default_collection(), options.documents)
        nodes = {endpoint.remote for endpoint in bucket.ping().endpoints.get(service(), [])}
        cluster.close()
    except CouchbaseException as error:
        print(f"couchbase_kv: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    wrong += work.wrong
    print(json.dumps({
        "client": f"couchbase for Python {importlib.metadata.version('couchbase')}", "documents_expected": options.documents,
        "documents_received": came, "missing": options.documents - came, "vbuckets": vbuckets, "nodes": sorted(nodes),
        "operations": work.operations, "wrong": wrong[:20],
    }))  # fmt: skip
    return 1 if wrong or came != options.documents else 0


def service():
    from couchbase.diagnostics import ServiceType

    return ServiceType.KeyValue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
