"""What schemathesis is to know of the API that its document does not say: names of what is there, and what would only wait."""

import schemathesis

PROXY = "scanned"
SCENARIOS = ["orphaned-responses", "mb-35287", "nothing"]


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Every third request is about something that is there."""
    names = dict(path_parameters or {})
    for key, there in (("proxy", [PROXY]), ("name", SCENARIOS), ("toxic", ["latency_downstream"]), ("id", [1, 2, 3])):
        text = str(names.get(key, ""))
        if key in names and (key == "id" or len(text) % 3 != 1 or not text):
            names[key] = there[len(text) % len(there)]
    return names


@schemathesis.hook
def before_call(context, case, kwargs):
    # A verdict that waits for ten minutes is right, and no scan.
    query = case.query
    if query and "settle" in query and str(query["settle"]).endswith(("m", "h", "s")):
        query["settle"] = "200ms"
    # The proxy that all is about stays, as it was.
    if case.operation.path == "/proxies/{proxy}" and case.path_parameters.get("proxy") == PROXY and case.method != "GET":
        case.path_parameters["proxy"] = "another"
    if case.operation.path == "/populate" and isinstance(case.body, list):
        case.body = [one for one in case.body if not isinstance(one, dict) or one.get("name") != PROXY]
